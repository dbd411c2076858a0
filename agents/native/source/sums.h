/* Sums over tensors [seeds, ...] of which each seed's numbers lie together. Neither the neighbours of
   a seed nor threads nor registers change a bit; torch's sums depend on all three. */
#pragma once
#include "lanes.h"

/* x . y of n numbers: 64 partial sums, added up after every 4,096 numbers. */
static double long_dot(const float *x, const float *y, int64_t n) {
    enum { WIDE = 64, BLOCK = 4096 };
    double result = 0.0;
    for (int64_t first = 0; first < n; first += BLOCK) {
        int64_t last = n - first < BLOCK ? n : first + BLOCK, j = first;
        lanes part[WIDE / LANES] = {0};
        float sums[WIDE];
        for (; j + WIDE <= last; j += WIDE)
#pragma GCC unroll 8
            for (int p = 0; p < WIDE / LANES; p++)
                part[p] = fma(load(x + j + p * LANES), load(y + j + p * LANES), part[p]);
        for (int p = 0; j < last; j += LANES, p++)
            part[p] = fma(load_some(x + j, last - j), load_some(y + j, last - j), part[p]);
        memcpy(sums, part, sizeof sums);
        for (int half = WIDE / 2; half; half /= 2)
            for (int i = 0; i < half; i++) sums[i] += sums[i + half];
        result += sums[0];
    }
    return result;
}

typedef struct { /* a flat tensor, in which parameter after parameter has each seed's numbers together */
    int64_t slots;
    const int64_t (*slot)[2]; /* where each parameter starts, and how many numbers of it a seed has */
    float *values;
} Part;

/* Scales a seed's numbers of some tensors together to a norm of at most `most`; returns the norm before. */
static float clip_seed(int parts, const Part *part, int seed, float most, float epsilon) {
    double squares = 0.0;
    for (int p = 0; p < parts; p++)
        for (int i = 0; i < part[p].slots; i++) {
            int64_t n = part[p].slot[i][1];
            const float *from = part[p].values + part[p].slot[i][0] + seed * n;
            squares += long_dot(from, from, n);
        }
    float norm = (float)sqrt(squares), factor = most / (norm + epsilon);
    if (factor >= 1.0f) return norm; /* NaN is not */
    for (int p = 0; p < parts; p++)
        for (int i = 0; i < part[p].slots; i++) {
            int64_t n = part[p].slot[i][1];
            float *from = part[p].values + part[p].slot[i][0] + seed * n;
            for (int64_t j = 0; j < n; j++) from[j] *= factor;
        }
    return norm;
}
