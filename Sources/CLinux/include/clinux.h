// What Linux offers and the Glibc module does not show to Swift: GNU-only calls and missing headers.
#pragma once
