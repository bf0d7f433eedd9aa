/* HEIC as pillow-heif reads it for cutoutd: from memory, libheif's own limits, no thread of its own, the primary picture. */
#include <libheif/heif.h>
#include <stdlib.h>

#include "harness.h"

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    heif_init(NULL);
    return 0;
}

static void metadata_of(struct heif_image_handle *handle) {
    heif_item_id ids[8];
    int count = heif_image_handle_get_list_of_metadata_block_IDs(handle, NULL, ids, 8);
    for (int i = 0; i < count && i < 8; i++) {
        size_t bytes = heif_image_handle_get_metadata_size(handle, ids[i]);
        void *block = bytes > 0 && bytes < MOST_BYTES ? malloc(bytes) : NULL;
        if (block == NULL) continue;
        if (heif_image_handle_get_metadata(handle, ids[i], block).code == heif_error_Ok) read_whole(block, bytes);
        free(block);
    }
    size_t bytes = heif_image_handle_get_raw_color_profile_size(handle);
    void *profile = bytes > 0 && bytes < MOST_BYTES ? malloc(bytes) : NULL;
    if (profile != NULL) {
        if (heif_image_handle_get_raw_color_profile(handle, profile).code == heif_error_Ok) read_whole(profile, bytes);
        free(profile);
    }
    struct heif_color_profile_nclx *codes = NULL;
    if (heif_image_handle_get_nclx_color_profile(handle, &codes).code == heif_error_Ok) heif_nclx_color_profile_free(codes);
}

static void decode(struct heif_image_handle *handle) {
    enum heif_colorspace space;
    enum heif_chroma chroma;
    if (heif_image_handle_get_preferred_decoding_colorspace(handle, &space, &chroma).code != heif_error_Ok) return;
    enum heif_channel channel = heif_channel_interleaved;
    int alpha = heif_image_handle_has_alpha_channel(handle);
    int deep = heif_image_handle_get_luma_bits_per_pixel(handle) > 8;
    if (space == heif_colorspace_monochrome && !alpha) {
        channel = heif_channel_Y;
        chroma = heif_chroma_monochrome;
    } else {
        space = heif_colorspace_RGB;
        if (deep)
            chroma = alpha ? heif_chroma_interleaved_RRGGBBAA_LE : heif_chroma_interleaved_RRGGBB_LE;
        else
            chroma = alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB;
    }
    struct heif_decoding_options *options = heif_decoding_options_alloc();
    options->convert_hdr_to_8bit = 0;
    struct heif_image *image = NULL;
    if (heif_decode_image(handle, &image, space, chroma, options).code == heif_error_Ok) {
        int stride = 0;
        const uint8_t *plane = heif_image_get_plane_readonly(image, channel, &stride);
        int height = heif_image_get_primary_height(image);
        if (plane != NULL && stride > 0 && height > 0) read_whole(plane, (size_t)stride * (size_t)height);
    }
    if (image != NULL) heif_image_release(image);
    heif_decoding_options_free(options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct heif_context *context = heif_context_alloc();
    struct heif_image_handle *handle = NULL;
    if (heif_context_read_from_memory_without_copy(context, data, size, NULL).code == heif_error_Ok) {
        heif_context_set_max_decoding_threads(context, 0);
        if (heif_context_get_primary_image_handle(context, &handle).code == heif_error_Ok) {
            int width = heif_image_handle_get_width(handle), height = heif_image_handle_get_height(handle);
            metadata_of(handle);
            if (width > 0 && height > 0 && !too_large((uint64_t)width, (uint64_t)height)) decode(handle);
            heif_image_handle_release(handle);
        }
    }
    heif_context_free(context);
    return 0;
}
