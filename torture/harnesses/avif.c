/* AVIF as Pillow reads it: from memory, one thread, the first frame as RGB of 8 bits. */
#include <avif/avif.h>

#include "harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    avifDecoder *decoder = avifDecoderCreate();
    decoder->maxThreads = 1;
    decoder->strictFlags &= ~(avifStrictFlags)(AVIF_STRICT_CLAP_VALID | AVIF_STRICT_PIXI_REQUIRED);
    decoder->imageSizeLimit = MOST_PIXELS;
    if (avifDecoderSetIOMemory(decoder, data, size) == AVIF_RESULT_OK && avifDecoderParse(decoder) == AVIF_RESULT_OK &&
        !too_large(decoder->image->width, decoder->image->height) && avifDecoderNthImage(decoder, 0) == AVIF_RESULT_OK) {
        avifRGBImage rgb;
        avifRGBImageSetDefaults(&rgb, decoder->image);
        rgb.depth = 8;
        rgb.format = decoder->alphaPresent                                    ? AVIF_RGB_FORMAT_RGBA
                     : decoder->image->yuvFormat == AVIF_PIXEL_FORMAT_YUV400 ? AVIF_RGB_FORMAT_GRAY
                                                                              : AVIF_RGB_FORMAT_RGB;
        if (avifRGBImageAllocatePixels(&rgb) == AVIF_RESULT_OK) {
            if (avifImageYUVToRGB(decoder->image, &rgb) == AVIF_RESULT_OK) read_whole(rgb.pixels, (size_t)rgb.rowBytes * rgb.height);
            avifRGBImageFreePixels(&rgb);
        }
    }
    avifDecoderDestroy(decoder);
    return 0;
}
