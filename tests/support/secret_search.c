/* SPDX-License-Identifier: Apache-2.0
 *
 * The search for secrets. Each window in each form is a pattern of 16 to 32 bytes. A bitmap over a hash of
 * the first 8 bytes at each position of what is looked through passes over nearly all of it; a table of
 * patterns confirms the rest. Compiled with optimization in every build, since memory is large.
 */
#include "tests/support/secret_search.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base64url.h"

/* Where sanitizers keep what they know of memory, in pieces of any size, and where no program has anything: between
 * what AddressSanitizer and ThreadSanitizer leave to programs at low addresses and at high ones. */
#define SECRET_SHADOW_BEGIN UINT64_C(0x008000000000)
#define SECRET_SHADOW_END   UINT64_C(0x400000000000)
#define SECRET_MIN_DISTINCT 8u
#define SECRET_MAX_PATTERN  (2u * SECRET_WINDOW)
#define SECRET_BITMAP_BITS  23u
#define SECRET_BUCKET_BITS  16u
#define SECRET_NO_PATTERN   UINT32_MAX
#define SECRET_CHUNK        (256u * 1024u)
/* Beyond this a mapping is not memory but an index into it. */
#define SECRET_MAX_MAPPING (UINT64_C(64) << 30)

/* The searching loop looks at every byte of a process: it is not what sanitizers are to watch. */
#define SECRET_UNWATCHED __attribute__((no_sanitize("address", "undefined", "thread")))

struct secret_pattern {
    uint8_t bytes[SECRET_MAX_PATTERN];
    uint32_t len;
    uint32_t secret; /* index of its name */
    uint32_t window;
    enum secret_form form;
    uint32_t next; /* in its bucket */
};

struct secret_search {
    char **names;
    size_t num_names;
    struct secret_pattern *patterns;
    size_t num_patterns, max_patterns;
    size_t num_windows, num_left_out;
    uint32_t buckets[1u << SECRET_BUCKET_BITS];
    uint64_t bitmap[(1u << SECRET_BITMAP_BITS) / 64];
};

struct secret_search *secret_search_new(void)
{
    struct secret_search *search = calloc(1, sizeof(*search));
    assert_non_null(search);
    memset(search->buckets, 0xff, sizeof(search->buckets));
    return search;
}

void secret_search_free(struct secret_search *search)
{
    if (search == NULL) {
        return;
    }
    for (size_t i = 0; i < search->num_names; i++) {
        free(search->names[i]);
    }
    free(search->names);
    free(search->patterns);
    free(search);
}

/* ---- Patterns ---- */

SECRET_UNWATCHED static inline uint64_t secret_hash(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    word *= UINT64_C(0x9e3779b97f4a7c15);
    return word ^ word >> 32;
}

SECRET_UNWATCHED static inline size_t secret_bit(uint64_t hash)
{
    return hash & ((1u << SECRET_BITMAP_BITS) - 1);
}

SECRET_UNWATCHED static inline size_t secret_bucket(uint64_t hash)
{
    return hash >> SECRET_BITMAP_BITS & ((1u << SECRET_BUCKET_BITS) - 1);
}

static void secret_make_room(struct secret_search *search)
{
    if (search->num_patterns < search->max_patterns) {
        return;
    }
    size_t max = search->max_patterns * 2 + 4096;
    struct secret_pattern *patterns = realloc(search->patterns, max * sizeof(patterns[0]));
    assert_non_null(patterns);
    search->patterns = patterns;
    search->max_patterns = max;
}

static void secret_register(struct secret_search *search, enum secret_form form, size_t window,
                            const void *bytes, size_t len)
{
    secret_make_room(search);
    struct secret_pattern *pattern = &search->patterns[search->num_patterns];
    memcpy(pattern->bytes, bytes, len);
    pattern->len = (uint32_t)len;
    pattern->secret = (uint32_t)search->num_names - 1;
    pattern->window = (uint32_t)window;
    pattern->form = form;
    uint64_t hash = secret_hash(pattern->bytes);
    uint32_t *bucket = &search->buckets[secret_bucket(hash)];
    pattern->next = *bucket;
    *bucket = (uint32_t)search->num_patterns++;
    search->bitmap[secret_bit(hash) / 64] |= UINT64_C(1) << secret_bit(hash) % 64;
}

static void secret_register_hex(struct secret_search *search, size_t window, const uint8_t *bytes)
{
    char lower[2 * SECRET_WINDOW + 1];
    char upper[2 * SECRET_WINDOW + 1];
    for (size_t i = 0; i < SECRET_WINDOW; i++) {
        (void)snprintf(lower + 2 * i, 3, "%02x", bytes[i]);
        (void)snprintf(upper + 2 * i, 3, "%02X", bytes[i]);
    }
    secret_register(search, SECRET_HEX, window, lower, 2 * SECRET_WINDOW);
    if (memcmp(lower, upper, 2 * SECRET_WINDOW) != 0) {
        secret_register(search, SECRET_HEX_UPPER, window, upper, 2 * SECRET_WINDOW);
    }
}

/* The characters that the window alone decides: it may begin 0, 1 or 2 bytes into a group of three. */
static void secret_register_base64(struct secret_search *search, size_t window,
                                   const uint8_t *bytes)
{
    for (size_t before = 0; before < 3; before++) {
        uint8_t group[SECRET_WINDOW + 2] = {0};
        char text[SG_BASE64URL_LEN(sizeof(group))];
        memcpy(group + before, bytes, SECRET_WINDOW);
        (void)sg_base64url_encode(group, sizeof(group), text);
        size_t first = (before * 8 + 5) / 6;
        size_t len = (before + SECRET_WINDOW) * 8 / 6 - first;
        secret_register(search, SECRET_BASE64URL, window, text + first, len);
        bool differs = false;
        for (size_t i = first; i < first + len; i++) {
            differs = differs || text[i] == '-' || text[i] == '_';
            text[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
        }
        if (differs) {
            secret_register(search, SECRET_BASE64, window, text + first, len);
        }
    }
}

static bool secret_is_trivial(const uint8_t *bytes)
{
    bool seen[256] = {false};
    size_t num_distinct = 0;
    for (size_t i = 0; i < SECRET_WINDOW; i++) {
        num_distinct += !seen[bytes[i]];
        seen[bytes[i]] = true;
    }
    return num_distinct < SECRET_MIN_DISTINCT;
}

static void secret_add_name(struct secret_search *search, const char *name)
{
    char **names = realloc(search->names, (search->num_names + 1) * sizeof(search->names[0]));
    char *copy = strdup(name);
    assert_true(names != NULL && copy != NULL);
    search->names = names;
    search->names[search->num_names++] = copy;
}

void secret_search_add(struct secret_search *search, const char *name, const uint8_t *bytes,
                       size_t len)
{
    assert_in_range(len, SECRET_WINDOW, SECRET_MAX_SECRET);
    secret_add_name(search, name);
    for (size_t window = 0; window + SECRET_WINDOW <= len; window++) {
        uint8_t reversed[SECRET_WINDOW];
        search->num_windows++;
        if (secret_is_trivial(bytes + window)) {
            search->num_left_out++;
            continue;
        }
        for (size_t i = 0; i < SECRET_WINDOW; i++) {
            reversed[i] = bytes[window + SECRET_WINDOW - 1 - i];
        }
        secret_register(search, SECRET_RAW, window, bytes + window, SECRET_WINDOW);
        secret_register(search, SECRET_REVERSED, window, reversed, SECRET_WINDOW);
        secret_register_hex(search, window, bytes + window);
        secret_register_base64(search, window, bytes + window);
    }
}

size_t secret_search_num_windows(const struct secret_search *search)
{
    return search->num_windows;
}

size_t secret_search_num_left_out(const struct secret_search *search)
{
    return search->num_left_out;
}

/* ---- Bytes ---- */

/* What is being looked through: bytes of a place, the first of them at an address there. */
struct secret_view {
    const char *place;
    uint64_t at;
    const uint8_t *bytes;
    size_t len;
    size_t num_starts; /* a pattern may start before this, */
    size_t min_end;    /* and has to end behind this */
};

static void secret_note(struct secret_report *report, const char *name,
                        const struct secret_pattern *pattern, const char *place, uint64_t at)
{
    report->num_hits++;
    for (size_t i = 0; i < report->num_finds; i++) {
        struct secret_find *find = &report->finds[i];
        if (find->secret == name && find->form == pattern->form &&
            strcmp(find->place, place) == 0) {
            find->num++;
            return;
        }
    }
    if (report->num_finds < SECRET_MAX_FINDS) {
        struct secret_find *find = &report->finds[report->num_finds++];
        *find = (struct secret_find){
            .secret = name, .form = pattern->form, .window = pattern->window, .at = at, .num = 1};
        (void)snprintf(find->place, sizeof(find->place), "%s", place);
    }
}

static void secret_confirm(const struct secret_search *search, const struct secret_view *view,
                           size_t start, uint64_t hash, struct secret_report *report)
{
    uint32_t index = search->buckets[secret_bucket(hash)];
    while (index != SECRET_NO_PATTERN) {
        const struct secret_pattern *pattern = &search->patterns[index];
        if (pattern->len <= view->len - start && start + pattern->len > view->min_end &&
            memcmp(pattern->bytes, view->bytes + start, pattern->len) == 0) {
            secret_note(report, search->names[pattern->secret], pattern, view->place,
                        view->at + start);
        }
        index = pattern->next;
    }
}

SECRET_UNWATCHED static void secret_look(const struct secret_search *search,
                                         const struct secret_view *view,
                                         struct secret_report *report)
{
    size_t end = view->len < SECRET_WINDOW ? 0 : view->len - SECRET_WINDOW + 1;
    end = end < view->num_starts ? end : view->num_starts;
    for (size_t start = 0; start < end; start++) {
        uint64_t hash = secret_hash(view->bytes + start);
        if ((search->bitmap[secret_bit(hash) / 64] >> secret_bit(hash) % 64 & 1) != 0) {
            secret_confirm(search, view, start, hash, report);
        }
    }
}

void secret_stream_feed(struct secret_stream *stream, const uint8_t *bytes, size_t len)
{
    /* What begins in the end of what came before. */
    uint8_t joint[2 * SECRET_MAX_PATTERN];
    const size_t longest_tail = SECRET_MAX_PATTERN - 1;
    size_t head = len < longest_tail ? len : longest_tail;
    if (len == 0) {
        return;
    }
    memcpy(joint, stream->tail, stream->kept);
    memcpy(joint + stream->kept, bytes, head);
    size_t joint_len = stream->kept + head;
    secret_look(stream->search,
                &(struct secret_view){.place = stream->place,
                                      .at = stream->at - stream->kept,
                                      .bytes = joint,
                                      .len = joint_len,
                                      .num_starts = stream->kept,
                                      .min_end = stream->kept},
                stream->report);
    secret_look(stream->search,
                &(struct secret_view){.place = stream->place,
                                      .at = stream->at,
                                      .bytes = bytes,
                                      .len = len,
                                      .num_starts = len},
                stream->report);
    stream->report->num_scanned += len;
    stream->at += len;
    const uint8_t *all = len >= longest_tail ? bytes : joint;
    size_t all_len = len >= longest_tail ? len : joint_len;
    stream->kept = all_len < longest_tail ? all_len : longest_tail;
    memcpy(stream->tail, all + all_len - stream->kept, stream->kept);
}

void secret_search_bytes(const struct secret_search *search, const char *place,
                         const uint8_t *bytes, size_t len, struct secret_report *report)
{
    struct secret_stream stream = {.search = search, .report = report, .place = place};
    secret_stream_feed(&stream, bytes, len);
}

/* ---- Files ---- */

static void secret_note_unreadable(struct secret_report *report, const char *place, uint64_t len)
{
    report->num_unreadable += len;
    (void)snprintf(report->unreadable, sizeof(report->unreadable), "%s", place);
}

bool secret_search_file(const struct secret_search *search, const char *path,
                        struct secret_report *report)
{
    struct secret_stream stream = {.search = search, .report = report, .place = path};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *chunk = malloc(SECRET_CHUNK);
    assert_non_null(chunk);
    ssize_t got = -1;
    while (fd >= 0 && (got = read(fd, chunk, SECRET_CHUNK)) > 0) {
        secret_stream_feed(&stream, chunk, (size_t)got);
    }
    free(chunk);
    if (fd >= 0) {
        (void)close(fd);
    }
    return got == 0;
}

bool secret_search_tree(const struct secret_search *search, const char *dir, const char *except,
                        struct secret_report *report)
{
    char *const roots[] = {(char *)(uintptr_t)dir, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    assert_non_null(tree);
    bool all_read = true;
    for (FTSENT *entry = fts_read(tree); entry != NULL; entry = fts_read(tree)) {
        bool is_failure =
            entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS;
        if (entry->fts_info == FTS_F && S_ISREG(entry->fts_statp->st_mode) &&
            (except == NULL || strcmp(entry->fts_path, except) != 0)) {
            is_failure = !secret_search_file(search, entry->fts_path, report);
        }
        if (is_failure) {
            secret_note_unreadable(report, entry->fts_path, 0);
            all_read = false;
        }
    }
    (void)fts_close(tree);
    return all_read;
}

/* ---- Processes ---- */

struct secret_mapping {
    uint64_t start, end;
    bool has_file, is_empty;
    bool is_swappable;
    char name[128]; /* and where it is */
};

struct secret_walk {
    const struct secret_search *search;
    struct secret_report *report;
    int mem;
    uint8_t *chunk;
    struct secret_stream stream; /* goes on where mappings adjoin */
};

/* The kernel's own pages, which hold nothing of the process. */
static bool secret_is_kernels(const struct secret_mapping *mapping)
{
    return strstr(mapping->name, ", [vvar") != NULL ||
           strstr(mapping->name, ", [vsyscall]") != NULL;
}

static void secret_walk_read(struct secret_walk *walk, const struct secret_mapping *mapping)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    for (uint64_t at = mapping->start; at < mapping->end;) {
        uint64_t left = mapping->end - at;
        ssize_t got =
            pread(walk->mem, walk->chunk, left < SECRET_CHUNK ? left : SECRET_CHUNK, (off_t)at);
        if (at != walk->stream.at) {
            walk->stream.kept = 0;
        }
        if (got <= 0) {
            secret_note_unreadable(walk->report, mapping->name, page);
            at += page;
            continue;
        }
        walk->stream.at = at;
        secret_stream_feed(&walk->stream, walk->chunk, (size_t)got);
        at += (size_t)got;
    }
}

static void secret_walk_mapping(struct secret_walk *walk, const struct secret_mapping *mapping,
                                enum secret_memory which)
{
    if (secret_is_kernels(mapping) || (mapping->is_empty && !mapping->has_file) ||
        (which == SECRET_SWAPPABLE_MEMORY && !mapping->is_swappable)) {
        return;
    }
    bool is_shadow =
        SG_SANITIZED && mapping->start >= SECRET_SHADOW_BEGIN && mapping->end <= SECRET_SHADOW_END;
    if (is_shadow || mapping->end - mapping->start > SECRET_MAX_MAPPING) {
        walk->report->num_oversized += mapping->end - mapping->start;
        return;
    }
    walk->stream.place = mapping->name;
    secret_walk_read(walk, mapping);
}

/* Locked pages stay in memory; special ones are not the process's. */
static bool secret_flags_swappable(const char *flags)
{
    static const char *const others[] = {" lo", " io", " pf", " de"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strstr(flags, others[i]) != NULL) {
            return false;
        }
    }
    return true;
}

/* One line of smaps (proc(5)). True with a mapping's last. */
static bool secret_read_smaps_line(const char *line, struct secret_mapping *mapping)
{
    uint64_t start;
    uint64_t end;
    uint64_t inode;
    uint64_t kib;
    int name = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %" SCNu64 " %n", &start, &end, &inode,
               &name) == 3) {
        *mapping = (struct secret_mapping){
            .start = start, .end = end, .has_file = inode != 0, .is_empty = true};
        const char *text = line[name] != '\0' ? line + name : "(anonymous)\n";
        (void)snprintf(mapping->name, sizeof(mapping->name), "%.*s, %.*s", (int)strcspn(line, " "),
                       line, (int)strcspn(text, "\n"), text);
    } else if (sscanf(line, "Rss: %" SCNu64, &kib) == 1 ||
               sscanf(line, "Swap: %" SCNu64, &kib) == 1) {
        mapping->is_empty = mapping->is_empty && kib == 0;
    } else if (strncmp(line, "VmFlags:", 8) == 0) {
        mapping->is_swappable = secret_flags_swappable(line);
        return true;
    }
    return false;
}

static FILE *secret_open_process(pid_t pid, int *mem)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    *mem = open(path, O_RDONLY | O_CLOEXEC);
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
    FILE *smaps = *mem >= 0 ? fopen(path, "re") : NULL;
    if (*mem >= 0 && smaps == NULL) {
        int why = errno;
        (void)close(*mem);
        errno = why;
    }
    return smaps;
}

bool secret_search_process(const struct secret_search *search, pid_t pid, enum secret_memory which,
                           struct secret_report *report)
{
    struct secret_walk walk = {.search = search, .report = report};
    FILE *smaps = secret_open_process(pid, &walk.mem);
    if (smaps == NULL) {
        return false;
    }
    walk.chunk = malloc(SECRET_CHUNK);
    assert_non_null(walk.chunk);
    walk.stream = (struct secret_stream){.search = search, .report = report};
    struct secret_mapping mapping = {0};
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, smaps) >= 0) {
        if (secret_read_smaps_line(line, &mapping)) {
            secret_walk_mapping(&walk, &mapping, which);
        }
    }
    free(line);
    free(walk.chunk);
    (void)fclose(smaps);
    (void)close(walk.mem);
    return true;
}

/* ---- What was found ---- */

void secret_report_print(const struct secret_report *report, const char *title)
{
    static const char *const forms[SECRET_NUM_FORMS] = {
        "raw", "reversed", "hex", "upper-case hex", "base64", "base64url"};
    print_message("%s: %" PRIu64 " bytes, %" PRIu64 " windows of secrets\n", title,
                  report->num_scanned, report->num_hits);
    for (size_t i = 0; i < report->num_finds; i++) {
        const struct secret_find *find = &report->finds[i];
        print_message(
            "  %s, %s, %" PRIu64 " times, first its window at %u in %s at 0x%" PRIx64 "\n",
            find->secret, forms[find->form], find->num, find->window, find->place, find->at);
    }
    if (report->num_unreadable > 0) {
        print_message("  not readable: %" PRIu64 " bytes, last of %s\n", report->num_unreadable,
                      report->unreadable);
    }
    if (report->num_oversized > 0) {
        print_message("  not looked at: %" PRIu64 " bytes of a sanitizer's shadow\n",
                      report->num_oversized);
    }
}
