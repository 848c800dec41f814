/* SPDX-License-Identifier: Apache-2.0
 *
 * `verify`: reads the whole chain once. A line is compared with the hash that the next line holds of it; where
 * the two do not agree, the line after that tells which of them was changed. What the queue knows of the end
 * of the chain is read first, so that a daemon that goes on writing meanwhile is not taken for a fault.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/digest/digest.h"
#include "server/audit_tool/tool.h"

#define VERIFY_MAX_FAULTS      1000u /* that are told; all are counted */
#define VERIFY_MAX_ANCHORS     4096u
#define VERIFY_MAX_ANCHOR_FILE (16u << 20)
#define VERIFY_BOOT_FILE       "/proc/sys/kernel/random/boot_id"

/* Where a record stands. */
struct verify_place {
    char file[256];
    size_t line;
    uint64_t seq;
    uint8_t hash[SG_AUDIT_HASH_LEN];
    uint8_t prev[SG_AUDIT_HASH_LEN];
    uint64_t number;
    bool is_bad; /* it was told of */
};

struct verify_anchor {
    struct tool_head head;
    bool is_found;
};

struct verify {
    const struct tool_options *options;
    struct tool_heads *heads;
    struct sg_audit_queue_info queue;
    bool has_queue, is_used;
    struct verify_anchor *anchors;
    size_t num_anchors;
    json_t *faults, *notes;
    size_t num_faults;
    /* The chain so far. */
    struct verify_place first, last;
    uint64_t num_records, num_heads, num_unchecked_heads, vouched, dropped, suppressed;
    /* last does not hold the hash of the one before it: which of them was changed is not known yet. */
    bool is_pending;
    struct verify_place before;
    /* A beginning that is not there, and a record of its removal. */
    bool is_pruned;
    char pruned_at[TOOL_TIME_CAP];
};

/* ---- Telling ---- */

static void __attribute__((format(printf, 5, 6)))
verify_fault(struct verify *verify, const char *file, size_t line, uint64_t seq, const char *format,
             ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
    }
    va_end(arguments);
    (void)tool_must(text);
    if (verify->num_faults++ < VERIFY_MAX_FAULTS) {
        (void)json_array_append_new(verify->faults, json_pack("{s:s, s:I, s:I, s:s}", "file", file,
                                                              "line", (json_int_t)line, "seq",
                                                              (json_int_t)seq, "fault", text));
    }
    free(text);
}

static void __attribute__((format(printf, 2, 3)))
verify_note(struct verify *verify, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
    }
    va_end(arguments);
    (void)json_array_append_new(verify->notes, json_string(tool_must(text)));
    free(text);
}

static void verify_place_fault(struct verify *verify, struct verify_place *place, const char *what)
{
    if (!place->is_bad) {
        verify_fault(verify, place->file, place->line, place->seq, "the record %" PRIu64 " %s",
                     place->seq, what);
    }
    place->is_bad = true;
}

/* ---- One line after another ---- */

/* Which of two records was changed: the later one is as it was if what follows it says so. */
static void verify_settle(struct verify *verify, bool is_last_good)
{
    if (verify->is_pending) {
        verify_place_fault(verify, is_last_good ? &verify->before : &verify->last,
                           "was changed after it was written");
        verify->is_pending = false;
    }
}

static void verify_compare(struct verify *verify, const struct verify_place *place)
{
    bool is_same = memcmp(place->prev, verify->last.hash, sizeof(place->prev)) == 0;
    bool was_pending = verify->is_pending;
    verify_settle(verify, is_same);
    if (!is_same && !was_pending && !verify->last.is_bad) {
        verify->is_pending = true;
        verify->before = verify->last;
    }
}

/* False: the record has no place in the chain, and the next one is compared with the one before. */
static bool verify_order(struct verify *verify, struct verify_place *place)
{
    uint64_t expected = verify->last.seq + 1;
    if (place->seq == expected) {
        verify_compare(verify, place);
        return true;
    }
    if (memcmp(place->prev, verify->last.hash, sizeof(place->prev)) == 0) {
        uint64_t seq = place->seq;
        place->seq = expected;
        verify_fault(verify, place->file, place->line, expected,
                     "the record %" PRIu64 " was changed: it has the number %" PRIu64 " now",
                     expected, seq);
        place->is_bad = true;
        return true;
    }
    if (place->seq > expected) {
        verify_settle(verify, true);
        verify_fault(verify, place->file, place->line, expected,
                     "the records %" PRIu64 " to %" PRIu64
                     " are missing before this line: deleted, or put elsewhere",
                     expected, place->seq - 1);
        return true;
    }
    verify_fault(verify, place->file, place->line, place->seq,
                 place->seq == verify->last.seq ? "the record %" PRIu64 " is here twice"
                                                : "the record %" PRIu64
                                                  " stands here out of order, or once more",
                 place->seq);
    return false;
}

static bool verify_is_own(const char *event)
{
    static const char *const own[] = {SG_AUDIT_EVENT_FILE, SG_AUDIT_EVENT_HEAD,
                                      SG_AUDIT_EVENT_PRUNED, SG_AUDIT_EVENT_RECOVERED};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strcmp(event, own[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Records of the queue are numbered one by one: one that was lost before it reached a file leaves a gap. */
static void verify_number(struct verify *verify, const struct verify_place *place,
                          const char *event)
{
    uint64_t expected = verify->last.number + (verify_is_own(event) ? 0 : 1);
    if (place->seq == verify->last.seq + 1 && place->number != expected && !place->is_bad) {
        verify_fault(verify, place->file, place->line, place->seq,
                     "records of the queue were lost before this one: it is number %" PRIu64
                     " of the queue, not %" PRIu64,
                     place->number, expected);
    }
}

/* ---- Records that say something of the chain ---- */

static void verify_head(struct verify *verify, const struct verify_place *place,
                        const json_t *record)
{
    const char *jws = tool_text(record, "jws");
    const char *why = "it has no signature";
    struct tool_head head;
    verify->num_heads++;
    if (verify->heads == NULL) {
        verify->num_unchecked_heads++;
        return;
    }
    if (jws == NULL || !tool_heads_check(verify->heads, jws, strlen(jws), &head, &why)) {
        verify_fault(verify, place->file, place->line, place->seq,
                     "the head does not vouch for anything: %s", why);
    } else if (head.seq != place->seq - 1 ||
               memcmp(head.hash, place->prev, sizeof(head.hash)) != 0) {
        verify_fault(verify, place->file, place->line, place->seq,
                     "the head was signed over another record %" PRIu64
                     ": what is before it was changed, and the chain made anew",
                     head.seq);
    } else {
        verify->vouched = head.seq;
    }
}

/* Whether this tells of the removal of what is before the first record that is there. */
static void verify_pruned(struct verify *verify, const json_t *record)
{
    char hex[SG_AUDIT_HEX_LEN + 1];
    const char *hash = tool_text(record, "hash");
    const char *when = tool_text(record, "time");
    json_int_t last = json_integer_value(json_object_get(record, "last"));
    sg_audit_hex(verify->first.prev, hex);
    if (last > 0 && (uint64_t)last == verify->first.seq - 1 && hash != NULL &&
        strcmp(hash, hex) == 0) {
        verify->is_pruned = true;
        (void)snprintf(verify->pruned_at, sizeof(verify->pruned_at), "%s",
                       when != NULL ? when : "?");
    }
}

static void verify_recovered(struct verify *verify, const struct verify_place *place,
                             const json_t *record)
{
    json_int_t first = json_integer_value(json_object_get(record, "lost_first"));
    json_int_t last = json_integer_value(json_object_get(record, "lost_last"));
    json_int_t cut = json_integer_value(json_object_get(record, "cut_bytes"));
    const char *when = tool_text(record, "time");
    when = when != NULL ? when : "?";
    if (first > 0) {
        verify_note(verify,
                    "at %s the daemon found the records %" JSON_INTEGER_FORMAT
                    " to %" JSON_INTEGER_FORMAT " missing",
                    when, first, last);
    }
    if (cut > 0) {
        verify_note(verify,
                    "at %s the daemon cut off %" JSON_INTEGER_FORMAT
                    " bytes of a record that was not finished, and wrote it anew",
                    when, cut);
    }
    if (tool_text(record, "queue") != NULL) {
        verify_fault(verify, place->file, place->line, place->seq,
                     "at %s the queue was damaged: records that waited in it may be lost", when);
    }
}

static void verify_file(struct verify *verify, const json_t *record)
{
    static const char *const usual[] = {"start", "size", "age", NULL};
    const char *why = tool_text(record, "why");
    const char *previous = tool_text(record, "previous");
    const char *when = tool_text(record, "time");
    for (const char *const *each = usual; why != NULL && *each != NULL; each++) {
        if (strcmp(why, *each) == 0) {
            return;
        }
    }
    verify_note(verify, "at %s the daemon found that %s was %s", when != NULL ? when : "?",
                previous != NULL ? previous : "the file before", why != NULL ? why : "?");
}

static void verify_meaning(struct verify *verify, const struct verify_place *place,
                           const char *event, const json_t *record)
{
    uint64_t count = (uint64_t)json_integer_value(json_object_get(record, "count"));
    if (strcmp(event, SG_AUDIT_EVENT_HEAD) == 0) {
        verify_head(verify, place, record);
    } else if (strcmp(event, SG_AUDIT_EVENT_PRUNED) == 0) {
        verify_pruned(verify, record);
    } else if (strcmp(event, SG_AUDIT_EVENT_RECOVERED) == 0) {
        verify_recovered(verify, place, record);
    } else if (strcmp(event, SG_AUDIT_EVENT_FILE) == 0) {
        verify_file(verify, record);
    } else if (strcmp(event, "dropped") == 0) {
        verify->dropped += count;
    } else if (strcmp(event, "suppressed") == 0) {
        verify->suppressed += count;
    }
}

static void verify_anchor(struct verify *verify, const struct verify_place *place)
{
    for (size_t i = 0; i < verify->num_anchors; i++) {
        struct verify_anchor *anchor = &verify->anchors[i];
        if (anchor->head.seq == place->seq) {
            anchor->is_found = true;
            if (memcmp(anchor->head.hash, place->hash, sizeof(place->hash)) != 0) {
                verify_fault(verify, place->file, place->line, place->seq,
                             "the record %" PRIu64
                             " is another than the one that a head of --heads was signed over",
                             place->seq);
            }
        }
    }
}

/* ---- Lines ---- */

static void verify_record(struct verify *verify, struct verify_place *place, const json_t *record)
{
    const char *event = tool_text(record, "event");
    event = event != NULL ? event : "";
    if (verify->num_records == 0) {
        verify->first = *place;
    } else if (!verify_order(verify, place)) {
        return;
    } else {
        verify_number(verify, place, event);
    }
    verify->num_records++;
    verify->last = *place;
    verify_anchor(verify, place);
    verify_meaning(verify, place, event, record);
}

/* What is no record takes the place of the next. */
static void verify_not_record(struct verify *verify, struct verify_place *place)
{
    verify_settle(verify, true);
    place->seq = verify->last.seq + 1;
    place->number = verify->last.number + 1;
    verify_place_fault(verify, place, "was changed after it was written: this line is no record");
    if (verify->num_records == 0) {
        verify->first = *place;
    }
    verify->num_records++;
    verify->last = *place;
}

/* Half a line at the end, which the daemon will finish or has not finished yet. */
static bool verify_is_remains(const struct verify *verify, const struct tool_line *line)
{
    return !line->is_whole && line->len < SG_AUDIT_MAX_LINE &&
           (!verify->has_queue || verify->queue.written.seq <= verify->last.seq);
}

static bool verify_line(struct verify *verify, const struct tool_line *line)
{
    struct sg_audit_prefix prefix = {.seq = 0};
    struct verify_place place = {.line = line->num};
    json_t *record = tool_line_json(line);
    bool is_record = record != NULL && sg_audit_prefix_read(line->text, &prefix);
    (void)snprintf(place.file, sizeof(place.file), "%s", line->file);
    if (is_record && prefix.seq < verify->options->from) {
        json_decref(record);
        return true;
    }
    if (sg_sha256(line->text, line->len, place.hash) != SIGNET_OK) {
        json_decref(record);
        (void)tool_fail(TOOL_FAILED, "there is no SHA-256 to be had");
        return false;
    }
    if (is_record) {
        place.seq = prefix.seq;
        place.number = prefix.number;
        memcpy(place.prev, prefix.prev, sizeof(place.prev));
        verify_record(verify, &place, record);
    } else if (verify_is_remains(verify, line)) {
        verify_note(verify, "%s ends in %zu bytes of a record that is not finished%s", line->file,
                    line->len,
                    verify->is_used ? "" : "; the next start of the daemon cuts them off");
    } else {
        verify_not_record(verify, &place);
    }
    json_decref(record);
    return true;
}

/* ---- Beginning and end ---- */

static void verify_beginning(struct verify *verify)
{
    static const uint8_t none[SG_AUDIT_HASH_LEN] = {0};
    const struct verify_place *first = &verify->first;
    if (verify->num_records == 0 || verify->options->from != 0) {
        return;
    }
    if (first->seq == 1) {
        if (memcmp(first->prev, none, sizeof(none)) != 0 && !first->is_bad) {
            verify_fault(verify, first->file, first->line, first->seq,
                         "the record 1 was changed: nothing can be before it");
        }
    } else if (verify->is_pruned) {
        verify_note(verify,
                    "the records up to %" PRIu64 " were removed by the daemon at %s, as "
                    "max_files says",
                    first->seq - 1, verify->pruned_at);
    } else {
        verify_fault(verify, first->file, first->line, first->seq,
                     "the records up to %" PRIu64
                     " are missing before this line, and no record says that they were removed",
                     first->seq - 1);
    }
}

/* After the power was cut only what was synced must be there. */
static const struct sg_audit_mark *verify_mark(const struct verify *verify)
{
    char now[SG_AUDIT_BOOT_LEN + 1] = "";
    int fd = open(VERIFY_BOOT_FILE, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t len = read(fd, now, SG_AUDIT_BOOT_LEN);
        now[len > 0 ? len : 0] = '\0';
        (void)close(fd);
    }
    bool is_same = now[0] != '\0' && strcmp(now, verify->queue.boot) == 0;
    return is_same ? &verify->queue.written : &verify->queue.synced;
}

static void verify_end(struct verify *verify)
{
    const struct sg_audit_mark *mark = verify_mark(verify);
    struct verify_place *last = &verify->last;
    bool is_marked = verify->has_queue && mark->seq != 0 && mark->seq == last->seq;
    bool is_same = is_marked && memcmp(mark->hash, last->hash, sizeof(mark->hash)) == 0;
    if (is_marked && !is_same && !verify->is_pending) {
        verify_place_fault(verify, last, "was changed after it was written");
    }
    verify_settle(verify, !is_marked || is_same);
    if (verify->has_queue && mark->seq > last->seq && mark->seq >= verify->options->from) {
        verify_fault(verify, last->file, last->line, last->seq + 1,
                     "the records %" PRIu64 " to %" PRIu64 " are missing at the end: cut off",
                     last->seq + 1, mark->seq);
    }
    for (size_t i = 0; i < verify->num_anchors; i++) {
        const struct verify_anchor *anchor = &verify->anchors[i];
        if (!anchor->is_found) {
            verify_fault(verify, "", 0, anchor->head.seq,
                         "the record %" PRIu64
                         ", over which a head of --heads was signed, is missing",
                         anchor->head.seq);
        }
    }
}

static void verify_notes(struct verify *verify, const struct tool_chain *chain, const char *why)
{
    const char *name = NULL;
    for (size_t i = 0; (name = tool_chain_stranger(chain, i)) != NULL; i++) {
        verify_note(verify, "%s has no record to begin with, and was not read", name);
    }
    if (!verify->has_queue) {
        verify_note(verify,
                    "%s/" SG_AUDIT_QUEUE_FILE ": %s; so it cannot be told whether records "
                    "behind the last were cut off",
                    verify->options->dir, why);
    }
    if (verify->dropped > 0) {
        verify_note(verify,
                    "%" PRIu64 " records were dropped for want of room; the chain tells when",
                    verify->dropped);
    }
    if (verify->suppressed > 0) {
        verify_note(verify, "%" PRIu64 " refusals were counted only, as one uid caused too many",
                    verify->suppressed);
    }
    if (verify->num_unchecked_heads > 0) {
        verify_note(verify,
                    "%" PRIu64
                    " signed heads were not checked: there is no %s/" SG_AUDIT_HEADS_FILE,
                    verify->num_unchecked_heads, verify->options->dir);
    } else if (verify->num_heads == 0) {
        verify_note(verify, "no signed head vouches for any record: whoever could write the files "
                            "could have made all of them");
    }
}

/* ---- Printing ---- */

static json_int_t verify_waiting(const struct verify *verify)
{
    const struct sg_audit_queue_info *queue = &verify->queue;
    if (!verify->has_queue || queue->num_waiting == 0 || queue->last <= verify->last.number) {
        return 0;
    }
    uint64_t num = queue->last - verify->last.number;
    return (json_int_t)(num < queue->num_waiting ? num : queue->num_waiting);
}

static void verify_print_json(const struct verify *verify, const struct tool_chain *chain)
{
    json_t *result = json_pack(
        "{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:O, s:O}", "good",
        verify->num_faults == 0, "num_files", (json_int_t)tool_chain_num_files(chain),
        "num_records", (json_int_t)verify->num_records, "first", (json_int_t)verify->first.seq,
        "last", (json_int_t)verify->last.seq, "num_heads", (json_int_t)verify->num_heads, "vouched",
        (json_int_t)verify->vouched, "waiting", verify_waiting(verify), "num_faults",
        (json_int_t)verify->num_faults, "keys", tool_heads_thumbprints(verify->heads), "faults",
        verify->faults, "notes", verify->notes);
    (void)json_dumpf(tool_must(result), stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(result);
}

static void verify_print_keys(const struct verify *verify)
{
    json_t *keys = tool_heads_thumbprints(verify->heads);
    size_t index = 0;
    json_t *key = NULL;
    json_array_foreach(keys, index, key)
    {
        (void)printf("     heads are signed by the key with the thumbprint %s%s\n",
                     tool_text(key, "thumbprint"),
                     verify->options->jwks == NULL
                         ? ": COMPARE IT with what you noted elsewhere; it stands beside the audit"
                         : "");
    }
    json_decref(keys);
}

/* Texts may hold what records say, which drives no terminal: it is escaped as in JSON. */
static void verify_print_text(const json_t *text)
{
    char *plain = json_dumps(text, JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
    size_t len = strlen(tool_must(plain));
    (void)printf("%.*s\n", (int)(len - 2), plain + 1);
    free(plain);
}

static void verify_print(const struct verify *verify, const struct tool_chain *chain)
{
    size_t index = 0;
    json_t *item = NULL;
    json_array_foreach(verify->faults, index, item)
    {
        (void)printf("BAD  %s:%" JSON_INTEGER_FORMAT ": ", tool_text(item, "file"),
                     json_integer_value(json_object_get(item, "line")));
        verify_print_text(json_object_get(item, "fault"));
    }
    json_array_foreach(verify->notes, index, item)
    {
        (void)printf("note ");
        verify_print_text(item);
    }
    (void)printf("%s %s: %" PRIu64 " records in %zu files, from %" PRIu64 " to %" PRIu64 "\n",
                 verify->num_faults == 0 ? "good" : "BAD ", verify->options->dir,
                 verify->num_records, tool_chain_num_files(chain), verify->first.seq,
                 verify->last.seq);
    if (verify->vouched > 0) {
        (void)printf("     signed heads vouch for the records up to %" PRIu64 "; the %" PRIu64
                     " behind are vouched for by the chain alone\n",
                     verify->vouched, verify->last.seq - verify->vouched);
        verify_print_keys(verify);
    }
    if (verify_waiting(verify) > 0) {
        (void)printf("     %" JSON_INTEGER_FORMAT " records wait in the queue\n",
                     verify_waiting(verify));
    }
    if (verify->num_faults > VERIFY_MAX_FAULTS) {
        (void)printf("     %zu faults; the first %u are shown\n", verify->num_faults,
                     VERIFY_MAX_FAULTS);
    }
}

/* ---- The command ---- */

static bool verify_read_anchors(struct verify *verify)
{
    char *text = NULL;
    size_t len = 0;
    const char *why = NULL;
    if (verify->options->anchors == NULL) {
        return true;
    }
    if (verify->heads == NULL) {
        (void)tool_fail(TOOL_FAILED,
                        "--heads needs the keys that they were signed with: see --jwks");
        return false;
    }
    if (!tool_read_file(verify->options->anchors, VERIFY_MAX_ANCHOR_FILE, &text, &len)) {
        return false;
    }
    verify->anchors = tool_must(calloc(VERIFY_MAX_ANCHORS, sizeof(verify->anchors[0])));
    bool is_good = true;
    for (char *line = text; is_good && *line != '\0';) {
        size_t line_len = strcspn(line, "\n");
        if (line_len > 0) {
            is_good = verify->num_anchors < VERIFY_MAX_ANCHORS &&
                      tool_heads_check(verify->heads, line, line_len,
                                       &verify->anchors[verify->num_anchors].head, &why);
            verify->num_anchors++;
        }
        line += line_len + (line[line_len] == '\n' ? 1 : 0);
    }
    free(text);
    if (!is_good) {
        (void)tool_fail(TOOL_FAILED, "%s: the head %zu is none: %s", verify->options->anchors,
                        verify->num_anchors, why != NULL ? why : "there are too many");
    }
    return is_good;
}

static bool verify_open_heads(struct verify *verify)
{
    char *path = NULL;
    const char *jwks = verify->options->jwks;
    if (jwks != NULL) {
        return tool_heads_open(jwks, false, &verify->heads);
    }
    if (asprintf(&path, "%s/" SG_AUDIT_HEADS_FILE, verify->options->dir) < 0) {
        path = NULL;
    }
    bool is_open = tool_heads_open(tool_must(path), true, &verify->heads);
    free(path);
    return is_open;
}

static enum tool_exit verify_run(struct verify *verify)
{
    const char *why = NULL;
    struct tool_chain *chain = NULL;
    struct tool_line line;
    int next = 0;
    /* Before the files: what it says is then in them. */
    verify->has_queue =
        tool_queue_read(verify->options->dir, &verify->queue, &verify->is_used, &why);
    if (!tool_chain_open(verify->options->dir, &chain)) {
        return TOOL_FAILED;
    }
    while ((next = tool_chain_next(chain, &line)) == 1) {
        if (!verify_line(verify, &line)) {
            next = -1;
            break;
        }
    }
    if (next == 0) {
        verify_end(verify);
        verify_beginning(verify);
        verify_notes(verify, chain, why);
        if (verify->options->json) {
            verify_print_json(verify, chain);
        } else {
            verify_print(verify, chain);
        }
    }
    tool_chain_close(chain);
    return next < 0 ? TOOL_FAILED : verify->num_faults == 0 ? TOOL_GOOD : TOOL_BAD;
}

enum tool_exit tool_verify(const struct tool_options *options)
{
    struct verify verify = {
        .options = options, .faults = tool_must(json_array()), .notes = tool_must(json_array())};
    enum tool_exit exit_status = verify_open_heads(&verify) && verify_read_anchors(&verify)
                                     ? verify_run(&verify)
                                     : TOOL_FAILED;
    json_decref(verify.faults);
    json_decref(verify.notes);
    tool_heads_close(verify.heads);
    free(verify.anchors);
    return exit_status;
}
