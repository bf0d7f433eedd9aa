/* Raw files as rawpy reads them for cutoutd: from memory, unpacked, the preview, then developed in 16 linear bits. */
#include <libraw/libraw.h>

#include "harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    LibRaw raw;
    if (raw.open_buffer(data, size) != LIBRAW_SUCCESS) return 0;
    const libraw_image_sizes_t &sizes = raw.imgdata.sizes;
    if (too_large(sizes.raw_width, sizes.raw_height) || too_large(sizes.width, sizes.height)) return 0;
    if (raw.unpack() != LIBRAW_SUCCESS) return 0;
    if (raw.unpack_thumb() == LIBRAW_SUCCESS) {
        int failed = 0;
        libraw_processed_image_t *preview = raw.dcraw_make_mem_thumb(&failed);
        if (preview != nullptr) {
            read_whole(preview->data, preview->data_size);
            LibRaw::dcraw_clear_mem(preview);
        }
    }
    libraw_output_params_t &wanted = raw.imgdata.params;
    wanted.user_qual = 3;
    wanted.half_size = uint64_t(sizes.width) * sizes.height > (1u << 14);  // developed whole where it is small, for speed
    wanted.use_camera_wb = 1;
    wanted.output_color = 1;
    wanted.output_bps = 16;
    wanted.gamm[0] = wanted.gamm[1] = 1;
    wanted.no_auto_bright = 1;
    if (raw.dcraw_process() != LIBRAW_SUCCESS) return 0;
    int failed = 0;
    libraw_processed_image_t *picture = raw.dcraw_make_mem_image(&failed);
    if (picture != nullptr) {
        read_whole(picture->data, picture->data_size);
        LibRaw::dcraw_clear_mem(picture);
    }
    return 0;
}
