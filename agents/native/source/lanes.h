/* A register of floats, 8 with AVX2 and 16 with AVX-512, and what is computed on one.

   Every bit is the same on both: an element's result depends on no other element, a sum over a row
   goes through sixteen partial sums in one order, and nothing is left to the compiler: it may not
   fuse a product with a sum (-ffp-contract=off); where that is wanted it is written `fma`. */
#pragma once
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
typedef __m512 lanes;
typedef int32_t ints __attribute__((vector_size(64)));
#define fma _mm512_fmadd_ps /* fma(a, b, c) = a * b + c, rounded once */
#elif defined(__AVX2__) && defined(__FMA__)
typedef __m256 lanes;
typedef int32_t ints __attribute__((vector_size(32)));
#define fma _mm256_fmadd_ps
#else
#error "needs AVX2 and FMA, or AVX-512"
#endif
enum { LANES = sizeof(lanes) / sizeof(float), PARTS = 16 / LANES };

#define INLINE static inline __attribute__((always_inline))

INLINE lanes load(const float *from) {
    lanes x;
    memcpy(&x, from, sizeof x);
    return x;
}
INLINE void store(float *to, lanes x) { memcpy(to, &x, sizeof x); }
INLINE lanes all(float x) { return x - (lanes){}; }
/* The first n floats, zeros after them. */
INLINE lanes load_some(const float *from, int n) {
    float x[LANES] = {0};
    if (n > 0) memcpy(x, from, sizeof(float) * (n < LANES ? n : LANES));
    return load(x);
}
INLINE lanes pick(ints where, lanes yes, lanes no) {
    return (lanes)(((ints)yes & where) | ((ints)no & ~where));
}
/* NaN stays NaN, in this order of arguments. */
INLINE lanes at_most(lanes x, float bound) { return pick(x > all(bound), all(bound), x); }
INLINE lanes at_least(lanes x, float bound) { return pick(x < all(bound), all(bound), x); }

/* A row's length in memory: rows are padded with zeros to multiples of 16. */
INLINE int padded(int n) { return (n + 15) & ~15; }

/* The sum of sixteen numbers: halves are added, and their halves, and so on. */
INLINE float total(const lanes part[PARTS]) {
#if defined(__AVX512F__)
    __m256 eight = _mm512_castps512_ps256(part[0]) + _mm512_extractf32x8_ps(part[0], 1);
#else
    __m256 eight = part[0] + part[1];
#endif
    __m128 four = _mm256_castps256_ps128(eight) + _mm256_extractf128_ps(eight, 1);
    __m128 two = four + _mm_movehl_ps(four, four);
    return two[0] + two[1];
}
/* Sums over padded rows. */
INLINE float sum(const float *x, int n) {
    lanes part[PARTS] = {0};
    for (int j = 0; j < n; j += 16)
        for (int p = 0; p < PARTS; p++) part[p] += load(x + j + p * LANES);
    return total(part);
}
INLINE float dot(const float *x, const float *y, int n) {
    lanes part[PARTS] = {0};
    for (int j = 0; j < n; j += 16)
        for (int p = 0; p < PARTS; p++)
            part[p] = fma(load(x + j + p * LANES), load(y + j + p * LANES), part[p]);
    return total(part);
}

INLINE lanes power_of_2(ints n) { return (lanes)((n + 127) << 23); } /* for -126..127 */
/* e^x = m 2^n to 1e-7 (relative), for -110..90: x = n log 2 + r, and a polynomial in r (Cephes,
   expf.c). Returns m, from 0.7 to 1.5. */
INLINE lanes exp_parts(lanes x, ints *whole) {
    const lanes shift = all(12582912.0f); /* 1.5 * 2^23: adding it rounds to a whole number */
    lanes n = fma(x, all(1.44269504088896341f), shift) - shift;
    lanes r = fma(n, all(-0.693359375f), x);
    r = fma(n, all(2.12194440e-4f), r);
    lanes p = all(1.9875691500e-4f);
    p = fma(p, r, all(1.3981999507e-3f));
    p = fma(p, r, all(8.3334519073e-3f));
    p = fma(p, r, all(4.1665795894e-2f));
    p = fma(p, r, all(1.6666665459e-1f));
    p = fma(p, r, all(5.0000001201e-1f));
    *whole = __builtin_convertvector(n, ints);
    return fma(p, r * r, r) + 1.0f;
}
INLINE lanes exp_of(lanes x) {
    ints whole;
    lanes m = exp_parts(at_least(at_most(x, 90.0f), -110.0f), &whole);
    ints half = whole >> 1; /* 2^128 is no float */
    return m * power_of_2(half) * power_of_2(whole - half);
}
/* log(1 + x) for x in 0..1, to 2e-7 (relative): 2 artanh(x / (2 + x)) as a series. */
INLINE lanes log1p_of(lanes x) {
    lanes s = x / (x + 2.0f), q = s * s, p = all(1.0f / 15.0f);
    p = fma(p, q, all(1.0f / 13.0f));
    p = fma(p, q, all(1.0f / 11.0f));
    p = fma(p, q, all(1.0f / 9.0f));
    p = fma(p, q, all(1.0f / 7.0f));
    p = fma(p, q, all(1.0f / 5.0f));
    p = fma(p, q, all(1.0f / 3.0f));
    return 2.0f * fma(s * q, p, s);
}
/* tanh to 1e-7 (relative), and 1 where it rounds to 1: what is saturated has a gradient of 0
   (Cephes, tanhf.c). */
INLINE lanes tanh_of(lanes x) {
    lanes size = pick(x < all(0.0f), -x, x), q = x * x;
    lanes p = all(-5.70498872745e-3f);
    p = fma(p, q, all(2.06390887954e-2f));
    p = fma(p, q, all(-5.37397155531e-2f));
    p = fma(p, q, all(1.33314422036e-1f));
    p = fma(p, q, all(-3.33332819422e-1f));
    ints whole;
    lanes m = exp_parts(2.0f * at_most(size, 10.0f), &whole);
    lanes large = 1.0f - 2.0f / fma(m, power_of_2(whole), all(1.0f));
    return pick(size < all(0.625f), fma(p * q, x, x), pick(x < all(0.0f), -large, large));
}
/* log(1 + e^x) to 3e-7 (relative), for any x. */
INLINE lanes softplus(lanes x) {
    ints positive = x > all(0.0f);
    lanes size = pick(positive, x, -x);
    return pick(positive, x, all(0.0f)) + log1p_of(exp_of(-size));
}
