// Skeleton; replaced as Evidence is built.
