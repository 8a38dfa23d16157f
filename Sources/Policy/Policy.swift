// Skeleton; replaced as Policy is built.
