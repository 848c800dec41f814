/* SPDX-License-Identifier: Apache-2.0
 *
 * Looks for secrets where none may be: in bytes, files and the memory of other processes. What is looked
 * for is every 16-byte window of each secret, in every form in which it may lie there. What was found is
 * told by name and place; a secret's bytes are never shown.
 */
#ifndef SG_TEST_SECRET_SEARCH_H
#define SG_TEST_SECRET_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SECRET_WINDOW     16u
#define SECRET_MAX_FINDS  128u
#define SECRET_MAX_SECRET 4096u

enum secret_form {
    SECRET_RAW,
    SECRET_REVERSED, /* as the limbs of a big number lie in memory */
    SECRET_HEX,      /* lower case */
    SECRET_HEX_UPPER,
    SECRET_BASE64, /* at any of the three alignments */
    SECRET_BASE64URL,
    SECRET_NUM_FORMS
};

/* One secret in one form in one place, and where it was seen first. */
struct secret_find {
    const char *secret; /* its name; belongs to the search */
    enum secret_form form;
    uint32_t window; /* offset of the window in the secret */
    char place[128]; /* a mapping, a file, or what the caller calls it */
    uint64_t at;     /* address or offset there */
    uint64_t num;    /* windows seen */
};

/* Starts as zeros; several searches may add to one. */
struct secret_report {
    uint64_t num_scanned; /* bytes; 0 proves nothing */
    uint64_t num_hits;
    size_t num_finds; /* further ones count as hits only */
    struct secret_find finds[SECRET_MAX_FINDS];
    uint64_t num_unreadable; /* bytes that should have been looked at */
    char unreadable[128];    /* the last place of these */
    uint64_t num_oversized; /* bytes in mappings that no program fills: the shadows of sanitizers */
};

struct secret_search;

/* secret_search_new returns a search for nothing yet. It fails the test if there is no memory. */
struct secret_search *secret_search_new(void);
void secret_search_free(struct secret_search *search); /* NULL is legal */

/* secret_search_add registers every window of a secret of SECRET_WINDOW to SECRET_MAX_SECRET bytes, in every
 * form. A window of fewer than 8 different bytes could be anybody's, and is left out. name is copied. Not
 * while another thread searches. */
void secret_search_add(struct secret_search *search, const char *name, const uint8_t *bytes,
                       size_t len);
/* Windows of all secrets, and how many of them were left out. */
size_t secret_search_num_windows(const struct secret_search *search);
size_t secret_search_num_left_out(const struct secret_search *search);

/* secret_search_bytes looks through bytes. Any thread; the report is the caller's. */
void secret_search_bytes(const struct secret_search *search, const char *place,
                         const uint8_t *bytes, size_t len, struct secret_report *report);

/* Bytes that come piece by piece: what straddles pieces is found as well. Set search, report and place, all
 * else zero. */
struct secret_stream {
    const struct secret_search *search;
    struct secret_report *report;
    const char *place;
    uint64_t at; /* of the next byte */
    size_t kept; /* the end of what came before */
    uint8_t tail[32];
};
void secret_stream_feed(struct secret_stream *stream, const uint8_t *bytes, size_t len);

/* secret_search_file returns false if there is no such file that can be read. */
bool secret_search_file(const struct secret_search *search, const char *path,
                        struct secret_report *report);
/* secret_search_tree looks through every regular file below dir but the one at except (NULL: none is left
 * out). False if anything could not be read. */
bool secret_search_tree(const struct secret_search *search, const char *dir, const char *except,
                        struct secret_report *report);

enum secret_memory {
    SECRET_ALL_MEMORY,
    SECRET_SWAPPABLE_MEMORY /* what is not locked, and could thus be written to a disk */
};

/* secret_search_process looks through the memory of another process. False, with errno, if this process may
 * not. The places are the names of mappings. */
bool secret_search_process(const struct secret_search *search, pid_t pid, enum secret_memory which,
                           struct secret_report *report);

/* secret_report_print says on the standard output what was found. */
void secret_report_print(const struct secret_report *report, const char *title);

#endif
