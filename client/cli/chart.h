/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of a keyset along an axis of time. Pure: numbers in, text out, in ASCII.
 *
 *                              2026-11-24T12:00:00Z now
 *     q2Kx8sLm0a..  <=================================|=----
 *     Zt5vW1yP3x..                                    |.==============>
 *                   +---------------------------------+---------------+
 *                   2026-11-15T23:08:42Z           2026-11-28T18:25:39Z
 *     . published   = signs   - only verifies   | now
 *     < > goes on beyond the chart; a column is 4h 52m
 */
#ifndef SG_CLI_CHART_H
#define SG_CLI_CHART_H

#include <stddef.h>
#include <stdint.h>

#define CHART_MIN_WIDTH     56u
#define CHART_DEFAULT_WIDTH 78u
#define CHART_MAX_WIDTH     200u

/* Times are seconds since 1970, 0: never or not known, as in Key of the contract. */
struct chart_key {
    const char *label; /* its beginning is shown; what is not ASCII, or not to be printed, as '?' */
    int64_t published_at;
    int64_t sign_from;    /* 0: it never signs */
    int64_t sign_until;   /* 0: no end is known */
    int64_t verify_until; /* 0: no end is known */
};

/* cli_chart_draw draws one row a key, in the order given, no line longer than width, which is taken
 * into the bounds above. Any numbers do. What is right of the mark begins with now. Every phase that
 * falls into the chart takes a column at least, to which signing has the first claim. NULL without memory; free() it. */
char *cli_chart_draw(const struct chart_key *keys, size_t num, int64_t now, size_t width);

#endif
