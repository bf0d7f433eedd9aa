/* What all harnesses share: limits, and reading results whole, so that AddressSanitizer sees a buffer that is too short. */
#ifndef CUTOUTD_HARNESS_H
#define CUTOUTD_HARNESS_H

#include <stddef.h>
#include <stdint.h>

/* Pictures beyond it are refused by their header, as `[pool] max_pixels` does; smaller here, for speed. */
#define MOST_PIXELS (1u << 20)
#define MOST_BYTES ((size_t)64 << 20)

#ifdef __cplusplus
extern "C" {
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
#ifdef __cplusplus
}
#endif

static inline int too_large(uint64_t width, uint64_t height) {
    return width == 0 || height == 0 || width > MOST_PIXELS || height > MOST_PIXELS || width * height > MOST_PIXELS;
}

static volatile uint8_t harness_sum;

static inline void read_whole(const void *begin, size_t bytes) {
    uint8_t sum = 0;
    const uint8_t *at = (const uint8_t *)begin;
    for (size_t i = 0; i < bytes; i++) sum ^= at[i];
    harness_sum = sum;
}

#endif
