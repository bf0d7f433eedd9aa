/* JPEG 2000 as Pillow reads it, tile by tile, and where samples have more than 8 bits whole, as OpenCV does. */
#include <openjpeg.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

struct input {
    const uint8_t *data;
    size_t size, at;
};

static OPJ_SIZE_T read_bytes(void *into, OPJ_SIZE_T wanted, void *state) {
    struct input *in = (struct input *)state;
    size_t left = in->size - in->at, count = wanted < left ? wanted : left;
    if (count == 0) return (OPJ_SIZE_T)-1;
    memcpy(into, in->data + in->at, count);
    in->at += count;
    return count;
}

static OPJ_OFF_T skip(OPJ_OFF_T count, void *state) {
    struct input *in = (struct input *)state;
    if (count < 0) return -1;
    size_t left = in->size - in->at;
    in->at += (size_t)count < left ? (size_t)count : left;
    return count;
}

static OPJ_BOOL seek(OPJ_OFF_T at, void *state) {
    struct input *in = (struct input *)state;
    if (at < 0 || (size_t)at > in->size) return OPJ_FALSE;
    in->at = (size_t)at;
    return OPJ_TRUE;
}

static void tile_by_tile(opj_codec_t *codec, opj_stream_t *stream) {
    for (;;) {
        OPJ_UINT32 index = 0, bytes = 0, components = 0;
        OPJ_INT32 left = 0, top = 0, right = 0, bottom = 0;
        OPJ_BOOL more = OPJ_FALSE;
        if (!opj_read_tile_header(codec, stream, &index, &bytes, &left, &top, &right, &bottom, &components, &more) || !more) break;
        if (bytes > MOST_BYTES) break;
        OPJ_BYTE *buffer = calloc(1, bytes + 1);
        OPJ_BOOL done = buffer != NULL && opj_decode_tile_data(codec, index, buffer, bytes, stream);
        if (done) read_whole(buffer, bytes);
        free(buffer);
        if (!done) return;
    }
    opj_end_decompress(codec, stream);
}

static void whole(opj_codec_t *codec, opj_stream_t *stream, opj_image_t *image) {
    if (!opj_decode(codec, stream, image) || !opj_end_decompress(codec, stream)) return;
    for (OPJ_UINT32 i = 0; i < image->numcomps; i++) {
        const opj_image_comp_t *one = &image->comps[i];
        if (one->data != NULL) read_whole(one->data, (size_t)one->w * one->h * sizeof *one->data);
    }
}

/* Decodes it one way or the other; returns whether a sample has more than 8 bits. */
static int decode(const uint8_t *data, size_t size, int is_whole) {
    struct input in = {data, size, 0};
    static const uint8_t stream_start[] = {0xff, 0x4f, 0xff, 0x51};
    int is_stream = size >= 4 && memcmp(data, stream_start, 4) == 0, is_deep = 0;
    opj_stream_t *stream = opj_stream_create(4096, OPJ_TRUE);
    opj_stream_set_read_function(stream, read_bytes);
    opj_stream_set_skip_function(stream, skip);
    if (is_whole) opj_stream_set_seek_function(stream, seek);
    opj_stream_set_user_data(stream, &in, NULL);
    opj_stream_set_user_data_length(stream, size);
    opj_dparameters_t parameters;
    opj_set_default_decoder_parameters(&parameters);
    opj_codec_t *codec = opj_create_decompress(is_stream ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    opj_image_t *image = NULL;
    opj_setup_decoder(codec, &parameters);
    if (opj_read_header(stream, codec, &image) && image != NULL && image->numcomps >= 1 && image->numcomps <= 4 &&
        image->x1 > image->x0 && image->y1 > image->y0 && !too_large(image->x1 - image->x0, image->y1 - image->y0)) {
        for (OPJ_UINT32 i = 0; i < image->numcomps; i++) is_deep |= image->comps[i].prec > 8;
        if (is_whole)
            whole(codec, stream, image);
        else
            tile_by_tile(codec, stream);
    }
    opj_destroy_codec(codec);
    if (image != NULL) opj_image_destroy(image);
    opj_stream_destroy(stream);
    return is_deep;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (decode(data, size, 0)) decode(data, size, 1);
    return 0;
}
