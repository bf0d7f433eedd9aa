/* WebP as Pillow reads it: by the reader for animations, the first frame, and the chunks of metadata. */
#include <webp/demux.h>

#include "harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const chunks[] = {"ICCP", "EXIF", "XMP "};
    WebPBitstreamFeatures features;
    WebPData whole = {data, size};
    WebPAnimInfo info;
    uint8_t *pixels = NULL;
    int moment = 0;
    if (WebPGetFeatures(data, size, &features) == VP8_STATUS_OK && too_large((uint64_t)features.width, (uint64_t)features.height))
        return 0;
    WebPAnimDecoder *decoder = WebPAnimDecoderNew(&whole, NULL);
    if (decoder == NULL) return 0;
    if (WebPAnimDecoderGetInfo(decoder, &info)) {
        const WebPDemuxer *parts = WebPAnimDecoderGetDemuxer(decoder);
        for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
            WebPChunkIterator found;
            if (!WebPDemuxGetChunk(parts, chunks[i], 1, &found)) continue;
            read_whole(found.chunk.bytes, found.chunk.size);
            WebPDemuxReleaseChunkIterator(&found);
        }
        if (!too_large(info.canvas_width, info.canvas_height) && WebPAnimDecoderGetNext(decoder, &pixels, &moment))
            read_whole(pixels, (size_t)info.canvas_width * info.canvas_height * 4);
    }
    WebPAnimDecoderDelete(decoder);
    return 0;
}
