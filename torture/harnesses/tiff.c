/* TIFF as Pillow reads it: from memory, strips or tiles of the first page; JPEG with subsampled colours becomes RGB there. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#include "harness.h"

struct input {
    const uint8_t *data;
    uint64_t size, at;
};

static tmsize_t read_bytes(thandle_t handle, void *into, tmsize_t wanted) {
    struct input *in = (struct input *)handle;
    uint64_t left = in->at < in->size ? in->size - in->at : 0;
    uint64_t count = (uint64_t)wanted < left ? (uint64_t)wanted : left;
    if (count > 0) memcpy(into, in->data + in->at, count);
    in->at += count;
    return (tmsize_t)count;
}

static tmsize_t write_bytes(thandle_t handle, void *from, tmsize_t count) {
    (void)handle, (void)from, (void)count;
    return -1;
}

static toff_t seek(thandle_t handle, toff_t offset, int whence) {
    struct input *in = (struct input *)handle;
    uint64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? in->at : in->size;
    in->at = base + offset;
    return in->at;
}

static int close_input(thandle_t handle) {
    (void)handle;
    return 0;
}

static toff_t size_of(thandle_t handle) { return ((struct input *)handle)->size; }

static void strips(TIFF *tiff, uint32_t height, unsigned planes) {
    uint32_t rows = 0;
    if (TIFFGetField(tiff, TIFFTAG_ROWSPERSTRIP, &rows) != 1 || rows == UINT32_MAX) rows = height;
    tmsize_t bytes = TIFFStripSize(tiff);
    if (rows == 0 || rows > INT_MAX || bytes <= 0 || (size_t)bytes > MOST_BYTES) return;
    void *buffer = calloc(1, (size_t)bytes);
    for (uint32_t y = 0; buffer != NULL && y < height; y += rows)
        for (unsigned plane = 0; plane < planes; plane++) {
            if (TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, y, (uint16_t)plane), buffer, bytes) == -1) goto end;
            read_whole(buffer, (size_t)bytes);
        }
end:
    free(buffer);
}

static void tiles(TIFF *tiff, uint32_t width, uint32_t height, unsigned planes) {
    uint32_t across = 0, down = 0;
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &across);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &down);
    tmsize_t bytes = TIFFTileSize(tiff);
    if (across == 0 || down == 0 || across > INT_MAX || down > INT_MAX || bytes <= 0 || (size_t)bytes > MOST_BYTES) return;
    void *buffer = calloc(1, (size_t)bytes);
    for (uint32_t y = 0; buffer != NULL && y < height; y += down)
        for (uint32_t x = 0; x < width; x += across)
            for (unsigned plane = 0; plane < planes; plane++) {
                if (TIFFReadTile(tiff, buffer, x, y, 0, (uint16_t)plane) == -1) goto end;
                read_whole(buffer, (size_t)bytes);
            }
end:
    free(buffer);
}

static void as_rgba(TIFF *tiff, uint32_t height) {
    char said[1024] = "";
    TIFFRGBAImage image;
    uint32_t rows = 0;
    if (!TIFFRGBAImageOK(tiff, said) || !TIFFRGBAImageBegin(&image, tiff, 0, said)) return;
    if (TIFFGetFieldDefaulted(tiff, TIFFIsTiled(tiff) ? TIFFTAG_TILELENGTH : TIFFTAG_ROWSPERSTRIP, &rows) != 1 || rows == 0 ||
        rows > height)
        rows = height;
    image.orientation = image.req_orientation = ORIENTATION_TOPLEFT;
    image.col_offset = 0;
    size_t bytes = (size_t)image.width * 4 * rows;
    uint32_t *buffer = bytes > 0 && bytes < MOST_BYTES ? calloc(1, bytes) : NULL;
    for (uint32_t y = 0; buffer != NULL && y < height; y += rows) {
        image.row_offset = (int)y;
        uint32_t count = rows < height - y ? rows : height - y;
        if (!TIFFRGBAImageGet(&image, buffer, image.width, count)) break;
        read_whole(buffer, (size_t)image.width * 4 * count);
    }
    free(buffer);
    TIFFRGBAImageEnd(&image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, size, 0};
    TIFFSetErrorHandler(NULL);
    TIFFSetErrorHandlerExt(NULL);
    TIFFSetWarningHandler(NULL);
    TIFFSetWarningHandlerExt(NULL);
    TIFF *tiff = TIFFClientOpen("memory.tif", "rC", &in, read_bytes, write_bytes, seek, close_input, size_of, NULL, NULL);
    if (tiff == NULL) return 0;
    uint32_t width = 0, height = 0;
    uint16_t photometric = 0, compression = 0, planar = 0, samples = 1;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
    TIFFGetField(tiff, TIFFTAG_COMPRESSION, &compression);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planar);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    if (!too_large(width, height)) {
        unsigned planes = planar == PLANARCONFIG_SEPARATE ? (samples < 4 ? samples : 4) : 1;
        int subsampled = photometric == PHOTOMETRIC_YCBCR;
        if (subsampled && compression == COMPRESSION_JPEG && planar == PLANARCONFIG_CONTIG) {
            TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
            subsampled = 0;
        }
        if (subsampled)
            as_rgba(tiff, height);
        else if (TIFFIsTiled(tiff))
            tiles(tiff, width, height, planes);
        else
            strips(tiff, height, planes);
    }
    TIFFClose(tiff);
    return 0;
}
