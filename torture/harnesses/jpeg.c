/* JPEG as simplejpeg and Pillow read it: whole into RGB, or row by row in the colours that the file has. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <turbojpeg.h>

#include "harness.h"

struct ending {
    struct jpeg_error_mgr manager;
    jmp_buf back;
};

static void give_up(j_common_ptr common) { longjmp(((struct ending *)common->err)->back, 1); }

static void say_nothing(j_common_ptr common, int level) {
    (void)common, (void)level;
}

static void keep_quiet(j_common_ptr common) { (void)common; }

static void row_by_row(const uint8_t *data, size_t size) {
    struct jpeg_decompress_struct decoder;
    struct ending ending;
    JSAMPLE *volatile row = NULL;
    decoder.err = jpeg_std_error(&ending.manager);
    ending.manager.error_exit = give_up;
    ending.manager.emit_message = say_nothing;
    ending.manager.output_message = keep_quiet;
    jpeg_create_decompress(&decoder);
    if (setjmp(ending.back) == 0) {
        jpeg_mem_src(&decoder, data, size);
        jpeg_save_markers(&decoder, JPEG_APP0 + 1, 0xffff);
        jpeg_save_markers(&decoder, JPEG_APP0 + 2, 0xffff);
        if (jpeg_read_header(&decoder, TRUE) == JPEG_HEADER_OK && !too_large(decoder.image_width, decoder.image_height)) {
            if (decoder.num_components == 4) decoder.out_color_space = JCS_CMYK;
            jpeg_start_decompress(&decoder);
            size_t bytes = (size_t)decoder.output_width * (size_t)decoder.output_components;
            row = malloc(bytes);
            while (row != NULL && decoder.output_scanline < decoder.output_height) {
                JSAMPROW rows[] = {row};
                jpeg_read_scanlines(&decoder, rows, 1);
                read_whole(row, bytes);
            }
            jpeg_finish_decompress(&decoder);
        }
    }
    jpeg_destroy_decompress(&decoder);
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tjhandle decoder = tj3Init(TJINIT_DECOMPRESS);
    int components = 0;
    if (tj3DecompressHeader(decoder, data, size) == 0) {
        int width = tj3Get(decoder, TJPARAM_JPEGWIDTH), height = tj3Get(decoder, TJPARAM_JPEGHEIGHT);
        int space = tj3Get(decoder, TJPARAM_COLORSPACE);
        if (width <= 0 || height <= 0 || too_large((uint64_t)width, (uint64_t)height) || tj3Get(decoder, TJPARAM_PRECISION) != 8) {
            tj3Destroy(decoder);
            return 0;
        }
        components = space == TJCS_RGB || space == TJCS_YCbCr ? 3 : 1;
        uint8_t *pixels = components == 3 ? malloc((size_t)width * (size_t)height * 3) : NULL;
        if (pixels != NULL && tj3Decompress8(decoder, data, size, pixels, 0, TJPF_RGB) == 0)
            read_whole(pixels, (size_t)width * (size_t)height * 3);
        free(pixels);
    }
    tj3Destroy(decoder);
    if (components != 3) row_by_row(data, size);
    return 0;
}
