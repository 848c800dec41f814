/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of an audit, line by line. No line is read that is longer than one can be.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/jose/json.h"
#include "server/audit_tool/tool.h"

#define CHAIN_MAX_DEPTH 8u
#define CHAIN_MAX_QUEUE (SG_AUDIT_QUEUE_MAX + 4096u)

struct chain_file {
    char *name;
    uint64_t seq; /* of its first record; 0: it has none */
};

struct tool_chain {
    const char *dir;
    struct chain_file *files; /* those without a record last */
    size_t num, num_good;
    size_t at; /* the file that is read */
    FILE *stream;
    size_t line; /* in it */
    char text[SG_AUDIT_MAX_LINE + 1];
};

void *tool_must(void *memory)
{
    if (memory == NULL) {
        (void)fputs("signet: no memory\n", stderr);
        exit((int)TOOL_FAILED); /* NOLINT(concurrency-mt-unsafe): there is no other thread */
    }
    return memory;
}

static FILE *chain_open_file(const char *dir, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", dir, name) < 0) {
        path = NULL;
    }
    (void)tool_must(path);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    free(path);
    return fd >= 0 ? fdopen(fd, "re") : NULL;
}

/* ---- Lines ---- */

/* Reads up to the end of the line, and keeps what fits. False at the end of the file. */
static bool chain_read_line(FILE *stream, char text[SG_AUDIT_MAX_LINE + 1], size_t *len,
                            bool *is_whole)
{
    int c = 0;
    size_t num = 0;
    while ((c = getc_unlocked(stream)) != EOF && c != '\n') {
        if (num < SG_AUDIT_MAX_LINE) {
            text[num] = (char)c;
        }
        num++;
    }
    *is_whole = c == '\n' && num <= SG_AUDIT_MAX_LINE;
    *len = num < SG_AUDIT_MAX_LINE ? num : SG_AUDIT_MAX_LINE;
    text[*len] = '\0';
    return c != EOF || num > 0;
}

int tool_chain_next(struct tool_chain *chain, struct tool_line *out)
{
    while (chain->at < chain->num_good) {
        const char *name = chain->files[chain->at].name;
        if (chain->stream == NULL) {
            chain->line = 0;
            chain->stream = chain_open_file(chain->dir, name);
        }
        if (chain->stream == NULL) {
            (void)tool_fail(TOOL_FAILED, "%s/%s cannot be opened: %s", chain->dir, name,
                            strerrordesc_np(errno));
            return -1;
        }
        if (chain_read_line(chain->stream, chain->text, &out->len, &out->is_whole)) {
            out->file = name;
            out->text = chain->text;
            out->is_first = chain->line == 0;
            out->num = ++chain->line;
            return 1;
        }
        if (ferror(chain->stream) != 0) {
            (void)tool_fail(TOOL_FAILED, "%s/%s cannot be read", chain->dir, name);
            return -1;
        }
        (void)fclose(chain->stream);
        chain->stream = NULL;
        chain->at++;
    }
    return 0;
}

json_t *tool_line_json(const struct tool_line *line)
{
    json_t *object = NULL;
    const char *detail = NULL;
    return line->is_whole && sg_json_load(line->text, line->len, SG_AUDIT_MAX_LINE, CHAIN_MAX_DEPTH,
                                          &object, &detail) == SIGNET_OK
               ? object
               : NULL;
}

const char *tool_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* ---- Files ---- */

static uint64_t chain_first_seq(const char *dir, const char *name)
{
    char text[SG_AUDIT_MAX_LINE + 1];
    struct sg_audit_prefix prefix = {.seq = 0};
    size_t len = 0;
    bool is_whole = false;
    FILE *stream = chain_open_file(dir, name);
    if (stream == NULL) {
        return 0;
    }
    bool is_record = chain_read_line(stream, text, &len, &is_whole) && is_whole &&
                     sg_audit_prefix_read(text, &prefix);
    (void)fclose(stream);
    /* One whose first line was damaged still has its place by its name. */
    return is_record ? prefix.seq : sg_audit_name_seq(name);
}

static int chain_compare(const void *a, const void *b)
{
    const struct chain_file *left = a;
    const struct chain_file *right = b;
    if (left->seq != right->seq) {
        /* 0, for none, comes last. */
        return left->seq - 1 < right->seq - 1 ? -1 : 1;
    }
    return strcmp(left->name, right->name);
}

/* Such as audit-...jsonl.1, of a rotation by rename. */
static bool chain_is_name(const char *name)
{
    return strncmp(name, SG_AUDIT_FILE_PREFIX, sizeof(SG_AUDIT_FILE_PREFIX) - 1) == 0 &&
           strstr(name, SG_AUDIT_FILE_SUFFIX) != NULL;
}

static void chain_add(struct tool_chain *chain, const char *name)
{
    chain->files = tool_must(reallocarray(chain->files, chain->num + 1, sizeof(chain->files[0])));
    struct chain_file *file = &chain->files[chain->num++];
    file->name = tool_must(strdup(name));
    file->seq = chain_first_seq(chain->dir, name);
    chain->num_good += file->seq != 0 ? 1 : 0;
}

bool tool_chain_open(const char *dir, struct tool_chain **out)
{
    DIR *stream = opendir(dir);
    if (stream == NULL) {
        (void)tool_fail(TOOL_FAILED,
                        "%s cannot be opened: %s; it is readable for the daemon's user "
                        "and root",
                        dir, strerrordesc_np(errno));
        return false;
    }
    struct tool_chain *chain = tool_must(calloc(1, sizeof(*chain)));
    const struct dirent *entry = NULL;
    chain->dir = dir;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread. */
    while ((entry = readdir(stream)) != NULL) {
        if (chain_is_name(entry->d_name)) {
            chain_add(chain, entry->d_name);
        }
    }
    (void)closedir(stream);
    if (chain->num > 0) {
        qsort(chain->files, chain->num, sizeof(chain->files[0]), chain_compare);
    }
    *out = chain;
    return true;
}

void tool_chain_close(struct tool_chain *chain)
{
    if (chain != NULL) {
        for (size_t i = 0; i < chain->num; i++) {
            free(chain->files[i].name);
        }
        if (chain->stream != NULL) {
            (void)fclose(chain->stream);
        }
        free(chain->files);
        free(chain);
    }
}

const char *tool_chain_stranger(const struct tool_chain *chain, size_t index)
{
    return index < chain->num - chain->num_good ? chain->files[chain->num_good + index].name : NULL;
}

size_t tool_chain_num_files(const struct tool_chain *chain)
{
    return chain->num_good;
}

/* ---- Other files ---- */

static bool read_stream(FILE *stream, size_t cap, char **out, size_t *len)
{
    size_t room = 4096;
    size_t num = 0;
    char *bytes = tool_must(malloc(room));
    size_t done = 0;
    while (num <= cap && (done = fread(bytes + num, 1, room - num - 1, stream)) > 0) {
        num += done;
        if (num + 1 >= room) {
            room *= 2;
            bytes = tool_must(realloc(bytes, room));
        }
    }
    if (num > cap || ferror(stream) != 0) {
        free(bytes);
        return false;
    }
    bytes[num] = '\0';
    *out = bytes;
    *len = num;
    return true;
}

bool tool_read_file(const char *path, size_t cap, char **out, size_t *len)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *stream = is_stdin ? stdin : fopen(path, "re");
    if (stream == NULL) {
        (void)tool_fail(TOOL_FAILED, "%s cannot be opened: %s", path, strerrordesc_np(errno));
        return false;
    }
    bool is_read = read_stream(stream, cap, out, len);
    if (!is_stdin) {
        (void)fclose(stream);
    }
    if (!is_read) {
        (void)tool_fail(TOOL_FAILED, "%s cannot be read, or is longer than %zu bytes", path, cap);
    }
    return is_read;
}

bool tool_queue_read(const char *dir, struct sg_audit_queue_info *out, bool *is_used,
                     const char **why)
{
    char *bytes = NULL;
    size_t len = 0;
    memset(out, 0, sizeof(*out));
    *is_used = false;
    *why = "it cannot be opened";
    FILE *stream = chain_open_file(dir, SG_AUDIT_QUEUE_FILE);
    if (stream == NULL) {
        return false;
    }
    *is_used = sg_audit_queue_is_used(fileno(stream));
    *why = "it is damaged";
    bool is_read = read_stream(stream, CHAIN_MAX_QUEUE, &bytes, &len) &&
                   sg_audit_queue_read((const uint8_t *)bytes, len, out);
    (void)fclose(stream);
    free(bytes);
    return is_read;
}
