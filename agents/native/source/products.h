/* Products of matrices. Every sum runs over the inner axis element by element, with one fused
   multiply-add each, so that a row of a result depends on nothing but its own row and the other
   matrix: not on the number of rows, nor on the width of a register.

   The right matrix is packed first, into panels of TILE_COLUMNS columns: [panel][inner][column],
   the last one filled up with zeros. */
#pragma once
#include "lanes.h"

enum { TILE_ROWS = LANES == 16 ? 8 : 6, TILE_COLUMNS = 2 * LANES }; /* what registers hold */
typedef enum { NOTHING, LEAKY_RELU, RELU, TANH } Activation;

INLINE int smaller(int a, int b) { return a < b ? a : b; }

/* Panels of a matrix [inner, columns]. */
static void pack(int inner, int columns, const float *matrix, long row, float *panels) {
    for (int j = 0; j < columns; j += TILE_COLUMNS) {
        float *panel = panels + (long)j * inner;
        const float *from = matrix + j;
        int width = smaller(columns - j, TILE_COLUMNS);
        for (int k = 0; k < inner; k++, panel += TILE_COLUMNS, from += row) {
            if (width == TILE_COLUMNS) {
                store(panel, load(from));
                store(panel + LANES, load(from + LANES));
            } else {
                store(panel, load_some(from, width));
                store(panel + LANES, load_some(from + LANES, width - LANES));
            }
        }
    }
}

/* A block of 8 x 8 floats, transposed. */
INLINE void transpose8(const float *from, long from_row, float *to, long to_row) {
    __m256 r[8], t[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(from + i * from_row);
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * to_row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * to_row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}
/* Panels of the transpose of a matrix [columns, inner]. */
static void pack_transposed(int inner, int columns, const float *matrix, long row, float *panels) {
    for (int j = 0; j < columns; j += TILE_COLUMNS) {
        float *panel = panels + (long)j * inner;
        int width = smaller(columns - j, TILE_COLUMNS), blocks = width / 8 * 8, full = inner / 8 * 8;
        if (width < TILE_COLUMNS) memset(panel, 0, sizeof(float) * inner * TILE_COLUMNS);
        for (int c = 0; c < blocks; c += 8)
            for (int k = 0; k < full; k += 8)
                transpose8(matrix + (j + c) * row + k, row, panel + (long)k * TILE_COLUMNS + c,
                           TILE_COLUMNS);
        for (int c = 0; c < width; c++)
            for (int k = c < blocks ? full : 0; k < inner; k++)
                panel[(long)k * TILE_COLUMNS + c] = matrix[(j + c) * row + k];
    }
}

/* sums[TILE_ROWS, TILE_COLUMNS] = left[TILE_ROWS, inner] panel[inner, TILE_COLUMNS] */
INLINE void tile(int inner, const float *left, long row, long step, const float *panel,
                 lanes sums[TILE_ROWS][2]) {
#pragma GCC unroll 8
    for (int i = 0; i < TILE_ROWS; i++) sums[i][0] = sums[i][1] = all(0.0f);
    for (int k = 0; k < inner; k++, panel += TILE_COLUMNS, left += step) {
        lanes first = load(panel), second = load(panel + LANES);
#pragma GCC unroll 8
        for (int i = 0; i < TILE_ROWS; i++) {
            lanes x = all(left[i * row]);
            sums[i][0] = fma(x, first, sums[i][0]);
            sums[i][1] = fma(x, second, sums[i][1]);
        }
    }
}
/* The first `width` columns of a tile's row. */
INLINE void put(float *to, lanes first, lanes second, int width) {
    if (width == TILE_COLUMNS) {
        store(to, first);
        store(to + LANES, second);
        return;
    }
    float row[TILE_COLUMNS];
    store(row, first);
    store(row + LANES, second);
    memcpy(to, row, sizeof(float) * width);
}
INLINE lanes activated(lanes x, Activation activation, float slope) {
    if (activation == LEAKY_RELU) return pick(x > all(0.0f), x, x * slope);
    if (activation == RELU) return pick(x < all(0.0f), all(0.0f), x);
    if (activation == TANH) return tanh_of(x);
    return x;
}

/* out[rows, padded(columns)] = activation(a[rows, inner] panels[inner, columns] + bias);
   bias may be NULL, and `spare` holds TILE_ROWS * inner floats. */
INLINE void multiply_as(int rows, int inner, int columns, const float *a, long a_row,
                        const float *panels, const float *bias, float *out, long out_row,
                        float *spare, Activation activation, float slope) {
    for (int j = 0; j < columns; j += TILE_COLUMNS) {
        const float *panel = panels + (long)j * inner;
        int real = bias ? columns - j : 0, width = smaller(padded(columns) - j, TILE_COLUMNS);
        lanes first = load_some(bias + j, real), second = load_some(bias + j + LANES, real - LANES);
        for (int i = 0; i < rows; i += TILE_ROWS) {
            lanes sums[TILE_ROWS][2];
            int height = smaller(rows - i, TILE_ROWS);
            if (height == TILE_ROWS) {
                tile(inner, a + i * a_row, a_row, 1, panel, sums);
            } else { /* the rows that are there, the last of them again for the others */
                for (int r = 0; r < TILE_ROWS; r++)
                    memcpy(spare + (long)r * inner, a + (i + smaller(r, height - 1)) * a_row,
                           sizeof(float) * inner);
                tile(inner, spare, inner, 1, panel, sums);
            }
            for (int r = 0; r < height; r++)
                put(out + (i + r) * out_row + j, activated(sums[r][0] + first, activation, slope),
                    activated(sums[r][1] + second, activation, slope), width);
        }
    }
}
static void multiply(int rows, int inner, int columns, const float *a, long a_row,
                     const float *panels, const float *bias, float *out, long out_row, float *spare,
                     Activation activation, float slope) {
#define AS(kind) multiply_as(rows, inner, columns, a, a_row, panels, bias, out, out_row, spare, kind, slope)
    if (activation == LEAKY_RELU) AS(LEAKY_RELU);
    else if (activation == RELU) AS(RELU);
    else if (activation == TANH) AS(TANH);
    else AS(NOTHING);
#undef AS
}

/* out[left_columns, columns] = left[rows, left_columns]^T right[rows, columns];
   `spare` holds TILE_ROWS * rows floats. */
static void multiply_transposed(int rows, int left_columns, int columns, const float *left,
                                long left_row, const float *right, long right_row, float *out,
                                float *panels, float *spare) {
    pack(rows, columns, right, right_row, panels);
    for (int k = 0; k < left_columns; k += TILE_ROWS) {
        int height = smaller(left_columns - k, TILE_ROWS);
        for (int m = 0; m < rows; m++)
            for (int i = 0; i < TILE_ROWS; i++)
                spare[m * TILE_ROWS + i] = i < height ? left[m * left_row + k + i] : 0.0f;
        for (int j = 0; j < columns; j += TILE_COLUMNS) {
            lanes sums[TILE_ROWS][2];
            tile(rows, spare, 1, TILE_ROWS, panels + (long)j * rows, sums);
            for (int r = 0; r < height; r++)
                put(out + (long)(k + r) * columns + j, sums[r][0], sums[r][1],
                    smaller(columns - j, TILE_COLUMNS));
        }
    }
}

/* The product of a few rows, without packing: a matrix is read once per row. The same bits. */
static void multiply_few(int rows, int inner, int columns, const float *a, long a_row,
                         const float *matrix, const float *bias, float *out, long out_row,
                         Activation activation, float slope) {
    enum { BLOCK = 4 * LANES };
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < padded(columns); j += BLOCK) {
            const float *x = a + i * a_row, *w = matrix + j;
            int width = smaller(columns - j, BLOCK), written = smaller(padded(columns) - j, BLOCK);
            lanes sums[4] = {0};
            float result[BLOCK];
            for (int k = 0; k < inner; k++, w += columns)
#pragma GCC unroll 4
                for (int p = 0; p < 4; p++)
                    sums[p] = fma(all(x[k]), width == BLOCK ? load(w + p * LANES)
                                                            : load_some(w + p * LANES, width - p * LANES),
                                  sums[p]);
            for (int p = 0; p < 4; p++)
                store(result + p * LANES,
                      activated(sums[p] + load_some(bias + j + p * LANES, width - p * LANES), activation,
                                slope));
            memcpy(out + i * out_row + j, result, sizeof(float) * written);
        }
}
