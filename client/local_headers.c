/* SPDX-License-Identifier: Apache-2.0
 *
 * A table in which each header has one place, which the first takes for good.
 */
#include "client/local_headers.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/board_layout.h"

#define HEADERS_PLACES  1024u
#define HEADERS_MAX_LEN 512u /* of its text; ours are shorter */

/* Not changed once it is in its place. */
struct local_header {
    struct sg_jws_known_header known; /* points into what follows */
    char alg[SG_MAX_ALG_NAME_LEN + 1];
    char kid[SG_MAX_KID_LEN + 1];
    char typ[SG_MAX_TYP_LEN + 1];
    char b64[HEADERS_MAX_LEN];
};

struct sg_local_headers {
    _Atomic(struct local_header *) places[HEADERS_PLACES];
};

static size_t headers_place(const struct sg_jws *jws)
{
    return sg_board_kid_hash(0, jws->header_b64, jws->header_b64_len) % HEADERS_PLACES;
}

bool sg_local_headers_use(const struct sg_local_headers *headers, struct sg_jws *jws)
{
    const struct local_header *header =
        atomic_load_explicit(&headers->places[headers_place(jws)], memory_order_acquire);
    return header != NULL && sg_jws_use_header(jws, &header->known);
}

static struct local_header *header_new(const struct sg_jws *jws)
{
    struct local_header *header = calloc(1, sizeof(*header));
    if (header == NULL) {
        return NULL;
    }
    memcpy(header->alg, jws->alg, sizeof(header->alg));
    memcpy(header->kid, jws->kid, sizeof(header->kid));
    memcpy(header->typ, jws->typ, sizeof(header->typ));
    memcpy(header->b64, jws->header_b64, jws->header_b64_len);
    header->known = (struct sg_jws_known_header){.b64 = header->b64,
                                                 .b64_len = jws->header_b64_len,
                                                 .alg = header->alg,
                                                 .kid = jws->has_kid ? header->kid : NULL,
                                                 .typ = jws->has_typ ? header->typ : NULL};
    return header;
}

void sg_local_headers_keep(struct sg_local_headers *headers, const struct sg_jws *jws)
{
    _Atomic(struct local_header *) *place = &headers->places[headers_place(jws)];
    struct local_header *none = NULL;
    if (jws->header_b64_len > HEADERS_MAX_LEN ||
        atomic_load_explicit(place, memory_order_relaxed) != NULL) {
        return;
    }
    struct local_header *header = header_new(jws);
    if (header != NULL && !atomic_compare_exchange_strong_explicit(
                              place, &none, header, memory_order_release, memory_order_relaxed)) {
        free(header); /* another thread was first */
    }
}

struct sg_local_headers *sg_local_headers_new(void)
{
    return calloc(1, sizeof(struct sg_local_headers));
}

void sg_local_headers_free(struct sg_local_headers *headers)
{
    if (headers == NULL) {
        return;
    }
    for (size_t i = 0; i < HEADERS_PLACES; i++) {
        free(atomic_load_explicit(&headers->places[i], memory_order_relaxed));
    }
    free(headers);
}
