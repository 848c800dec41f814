/* SPDX-License-Identifier: Apache-2.0
 *
 * A record leaves the queue after it is in a file; a kill in between leaves it in both, which the numbers
 * show. While the disk takes nothing, records stay where they are.
 */
#include "server/audit_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/jose/jws.h"
#include "server/log.h"

#define WRITER_LOOK_MS       1000u
#define WRITER_HEAD_RETRY_MS 5000u
#define WRITER_MAX_OWN       1024u

struct sg_audit_writer {
    struct sg_audit_options options;
    char *dir;
    int dir_fd;
    struct sg_audit_queue *queue;
    struct sg_audit_files *files;
    char record[SG_AUDIT_MAX_BODY];
    /* A record of the writer's own, which comes before the next of the queue. */
    char own[WRITER_MAX_OWN];
    size_t own_len;
    struct sg_audit_cursor batch_end; /* what the batch has of the queue */
    uint64_t synced_number;
    uint64_t looked_ms, synced_ms;
    uint64_t head_ms;      /* the last, or the last attempt */
    uint64_t head_wait_ms; /* from then to the next */
    uint64_t head_seq;     /* of the last record under a head */
    uint64_t head_record;  /* and of the head itself, which needs none */
    bool is_stuck, is_unsynced, is_unsigned, is_dir_lost;
    bool is_damage_told; /* of the queue, whose damaged part can be passed over */
};

/* ---- Opening ---- */

static signet_status __attribute__((format(printf, 3, 4)))
writer_fail(signet_status status, char error[SG_AUDIT_MAX_ERROR], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error, SG_AUDIT_MAX_ERROR, format, arguments);
    va_end(arguments);
    return status;
}

static signet_status writer_open_dir(struct sg_audit_writer *writer, char error[SG_AUDIT_MAX_ERROR])
{
    struct stat info;
    const char *dir = writer->dir;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return writer_fail(SIGNET_FAILED_PRECONDITION, error,
                           "%s cannot be made: %s; its parent must exist and be the daemon's", dir,
                           strerrordesc_np(errno));
    }
    writer->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (writer->dir_fd < 0 || fstat(writer->dir_fd, &info) != 0) {
        return writer_fail(SIGNET_FAILED_PRECONDITION, error, "%s cannot be opened: %s; see ls -ld",
                           dir, strerrordesc_np(errno));
    }
    if (info.st_uid != geteuid()) {
        return writer_fail(SIGNET_FAILED_PRECONDITION, error,
                           "%s belongs to uid %u, who could change the audit; chown %u %s", dir,
                           (unsigned)info.st_uid, (unsigned)geteuid(), dir);
    }
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return writer_fail(SIGNET_FAILED_PRECONDITION, error,
                           "%s has mode %04o, so that others could change the audit; chmod go-w %s",
                           dir, (unsigned)(info.st_mode & 07777u), dir);
    }
    return SIGNET_OK;
}

static bool writer_is_same_boot(const char *boot)
{
    char now[SG_AUDIT_BOOT_LEN + 1] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t len = read(fd, now, SG_AUDIT_BOOT_LEN);
        now[len > 0 ? len : 0] = '\0';
        (void)close(fd);
    }
    return now[0] != '\0' && strcmp(now, boot) == 0;
}

/* Says in one record, and in the log, what was not as it should be at the start. */
static void writer_tell_recovered(struct sg_audit_writer *writer,
                                  const struct sg_audit_recovered *found, bool is_queue_damaged,
                                  const struct sg_audit_queue_info *info)
{
    struct sg_audit_text text = sg_audit_text_begin(
        writer->own, sizeof(writer->own), writer->options.read_wall_ms(), SG_AUDIT_EVENT_RECOVERED);
    if (found->torn_bytes != 0) {
        sg_audit_text_number(&text, "cut_bytes", (int64_t)found->torn_bytes);
    }
    if (found->lost_first != 0) {
        sg_audit_text_number(&text, "lost_first", (int64_t)found->lost_first);
        sg_audit_text_number(&text, "lost_last", (int64_t)found->lost_last);
        sg_log(SG_LOG_ERROR,
               "audit: %s: the records %" PRIu64 " to %" PRIu64 " were written and are not there; "
               "put the files back that are missing, see signet audit verify",
               writer->dir, found->lost_first, found->lost_last);
    }
    if (found->changed != 0) {
        sg_audit_text_number(&text, "changed", (int64_t)found->changed);
        sg_log(SG_LOG_ERROR, "audit: %s: the record %" PRIu64 " is not as it was written",
               writer->dir, found->changed);
    }
    if (found->is_damaged) {
        sg_audit_text_string(&text, "file", "damaged", WRITER_MAX_OWN);
        sg_log(SG_LOG_ERROR,
               "audit: %s: the end of the last file is none of a chain; another is begun",
               writer->dir);
    }
    if (is_queue_damaged || info->num_damaged_bytes != 0) {
        sg_audit_text_string(&text, "queue", "damaged", WRITER_MAX_OWN);
        sg_log(SG_LOG_ERROR,
               "audit: %s/" SG_AUDIT_QUEUE_FILE
               " is damaged; records that waited in it may be lost%s",
               writer->dir, is_queue_damaged ? "; it is kept as " SG_AUDIT_QUEUE_DAMAGED : "");
    }
    writer->own_len = sg_audit_text_end(&text);
}

static bool writer_has_found(const struct sg_audit_recovered *found)
{
    return found->torn_bytes != 0 || found->lost_first != 0 || found->changed != 0 ||
           found->is_damaged;
}

static signet_status writer_recover(struct sg_audit_writer *writer, bool is_queue_damaged,
                                    char error[SG_AUDIT_MAX_ERROR])
{
    const struct sg_config_audit *config = writer->options.config;
    struct sg_audit_queue_info info;
    struct sg_audit_recovered found;
    const struct sg_audit_files_options options = {.dir_fd = writer->dir_fd,
                                                   .dir = writer->dir,
                                                   .max_len = (uint64_t)config->max_file_mib << 20,
                                                   .max_age_ms =
                                                       (uint64_t)config->max_file_age_s * 1000u,
                                                   .max_files = config->max_files,
                                                   .read_mono_ms = writer->options.read_mono_ms,
                                                   .read_wall_ms = writer->options.read_wall_ms};
    signet_status status = sg_audit_queue_info(writer->queue, &info);
    if (status != SIGNET_OK) {
        return writer_fail(status, error, "no memory for the audit");
    }
    /* After the power was cut only what was synced can be asked for. */
    status =
        sg_audit_files_open(&options, writer_is_same_boot(info.boot) ? &info.written : &info.synced,
                            &writer->files, &found, error);
    if (status != SIGNET_OK) {
        return status;
    }
    if (writer_has_found(&found) || is_queue_damaged || info.num_damaged_bytes != 0) {
        writer_tell_recovered(writer, &found, is_queue_damaged, &info);
        writer->is_damage_told = info.num_damaged_bytes != 0;
    }
    uint64_t last = info.last_hint > info.last ? info.last_hint : info.last;
    uint64_t number = sg_audit_files_number(writer->files);
    sg_audit_queue_number(writer->queue, (last > number ? last : number) + 1);
    writer->synced_number = number;
    writer->batch_end = sg_audit_queue_begin(writer->queue);
    return SIGNET_OK;
}

static void writer_start_clocks(struct sg_audit_writer *writer)
{
    uint64_t now = writer->options.read_mono_ms();
    writer->looked_ms = now;
    writer->synced_ms = now;
    writer->head_ms = now;
    writer->head_wait_ms = (uint64_t)writer->options.config->head_every_s * 1000u;
    writer->head_record = sg_audit_files_end(writer->files)->seq;
}

signet_status sg_audit_writer_new(const struct sg_audit_options *options,
                                  struct sg_audit_writer **out, struct sg_audit_queue **queue,
                                  char error[SG_AUDIT_MAX_ERROR])
{
    bool is_damaged = false;
    struct sg_audit_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return writer_fail(SIGNET_RESOURCE_EXHAUSTED, error, "no memory for the audit");
    }
    writer->options = *options;
    writer->dir_fd = -1;
    writer->dir = strdup(options->config->dir);
    signet_status status = writer->dir != NULL ? writer_open_dir(writer, error)
                                               : writer_fail(SIGNET_RESOURCE_EXHAUSTED, error,
                                                             "no memory for the audit");
    if (status == SIGNET_OK) {
        status = sg_audit_queue_open(writer->dir_fd, writer->dir,
                                     (size_t)options->config->queue_kib << 10, &writer->queue,
                                     &is_damaged, error, SG_AUDIT_MAX_ERROR);
    }
    if (status == SIGNET_OK) {
        status = writer_recover(writer, is_damaged, error);
    }
    if (status != SIGNET_OK) {
        sg_audit_writer_free(writer);
        return status;
    }
    writer_start_clocks(writer);
    *queue = writer->queue;
    *out = writer;
    return SIGNET_OK;
}

void sg_audit_writer_free(struct sg_audit_writer *writer)
{
    if (writer != NULL) {
        sg_audit_files_close(writer->files);
        sg_audit_queue_close(writer->queue);
        if (writer->dir_fd >= 0) {
            (void)close(writer->dir_fd);
        }
        free(writer->dir);
        free(writer);
    }
}

/* ---- Trouble ---- */

/* Once when it begins and once when it is over. */
static void writer_set_stuck(struct sg_audit_writer *writer, bool is_stuck, const char *reason)
{
    if (is_stuck && !writer->is_stuck) {
        sg_log(SG_LOG_ERROR, "audit: %s; records wait in the queue, which has room for %zu KiB",
               reason, sg_audit_queue_room(writer->queue) >> 10);
    } else if (!is_stuck && writer->is_stuck) {
        sg_log(SG_LOG_INFO, "audit: %s can be written again", writer->dir);
    }
    writer->is_stuck = is_stuck;
}

static void writer_look_at_dir(struct sg_audit_writer *writer)
{
    struct stat own;
    struct stat there;
    bool is_lost = fstat(writer->dir_fd, &own) == 0 &&
                   (stat(writer->dir, &there) != 0 || there.st_dev != own.st_dev ||
                    there.st_ino != own.st_ino);
    if (is_lost && !writer->is_dir_lost) {
        sg_log(SG_LOG_ERROR,
               "audit: the directory %s was moved, removed or replaced; put it back, or "
               "restart the daemon",
               writer->dir);
    }
    writer->is_dir_lost = is_lost;
}

/* Another file is begun where this one is not what it was. */
static void writer_look(struct sg_audit_writer *writer, uint64_t now)
{
    const char *what = sg_audit_files_look(writer->files);
    writer->looked_ms = now;
    if (what != NULL) {
        sg_log(
            SG_LOG_WARNING,
            "audit: %s/%s was %s by somebody else; another file is begun, see signet audit verify",
            writer->dir, sg_audit_files_name(writer->files), what);
    }
    writer_look_at_dir(writer);
}

/* ---- Batches ---- */

/* The record at the cursor goes into the batch, unless it is in the files. */
static signet_status writer_add(struct sg_audit_writer *writer, size_t len, uint64_t number)
{
    /* A record that is in the queue and in the files is of a daemon that was killed between the two. */
    if (number <= sg_audit_files_number(writer->files)) {
        return SIGNET_OK;
    }
    return sg_audit_files_add(writer->files, number, writer->record, len);
}

/* Whether it has been told of; else it is in the next batch, and may be passed over after that. */
static bool writer_tell_damage(struct sg_audit_writer *writer)
{
    bool is_told = writer->is_damage_told;
    if (!is_told) {
        const struct sg_audit_recovered nothing = {.torn_bytes = 0};
        const struct sg_audit_queue_info info = {.num_damaged_bytes = 1};
        writer_tell_recovered(writer, &nothing, false, &info);
    }
    writer->is_damage_told = !is_told;
    return is_told;
}

static void writer_fill(struct sg_audit_writer *writer)
{
    struct sg_audit_cursor cursor = sg_audit_queue_begin(writer->queue);
    size_t len = 0;
    uint64_t number = 0;
    signet_status status = SIGNET_OK;
    sg_audit_files_drop(writer->files);
    writer->batch_end = cursor;
    if (writer->own_len > 0) {
        status = sg_audit_files_add(writer->files, 0, writer->own, writer->own_len);
    }
    while (status == SIGNET_OK) {
        enum sg_audit_next next = sg_audit_queue_next(writer->queue, &cursor, writer->record,
                                                      sizeof(writer->record), &len, &number);
        if (next == SG_AUDIT_NEXT_NONE ||
            (next == SG_AUDIT_NEXT_DAMAGED && !writer_tell_damage(writer))) {
            return;
        }
        if (next == SG_AUDIT_NEXT_RECORD) {
            status = writer_add(writer, len, number);
        }
        if (status == SIGNET_OK) {
            writer->batch_end = cursor;
        }
    }
}

/* What was written is known for whatever happens next. */
static void writer_committed(struct sg_audit_writer *writer, struct sg_audit_done *done)
{
    struct sg_audit_cursor before = sg_audit_queue_begin(writer->queue);
    sg_audit_queue_mark_written(writer->queue, sg_audit_files_end(writer->files));
    sg_audit_queue_take(writer->queue, writer->batch_end);
    done->has_taken = before.at != writer->batch_end.at;
    writer->own_len = 0;
}

static bool writer_commit(struct sg_audit_writer *writer, struct sg_audit_done *done)
{
    char reason[SG_AUDIT_MAX_REASON] = "";
    uint64_t before = sg_audit_files_end(writer->files)->seq;
    writer_fill(writer);
    signet_status status = sg_audit_files_commit(writer->files, reason);
    if (status != SIGNET_OK) {
        writer_set_stuck(writer, true, reason);
        return false;
    }
    if (sg_audit_files_end(writer->files)->seq != before) {
        writer_set_stuck(writer, false, reason);
    }
    writer_committed(writer, done);
    if (sg_audit_files_prune(writer->files, reason) != SIGNET_OK) {
        sg_log(SG_LOG_WARNING, "audit: old files are not removed: %s", reason);
    }
    sg_audit_queue_mark_written(writer->queue, sg_audit_files_end(writer->files));
    return true;
}

static void writer_sync(struct sg_audit_writer *writer, uint64_t now)
{
    char reason[SG_AUDIT_MAX_REASON] = "";
    writer->synced_ms = now;
    bool is_synced = sg_audit_files_sync(writer->files, reason) == SIGNET_OK;
    if (!is_synced && !writer->is_unsynced) {
        sg_log(SG_LOG_ERROR, "audit: %s; what was written would not survive a loss of power",
               reason);
    }
    writer->is_unsynced = !is_synced;
    if (!is_synced) {
        return;
    }
    sg_audit_queue_mark_synced(writer->queue, sg_audit_files_end(writer->files));
    writer->synced_number = sg_audit_files_number(writer->files);
}

/* ---- Heads ---- */

/* The head over the last record, as a record. */
static size_t writer_head_body(struct sg_audit_writer *writer, const char *jws, const char *kid,
                               char out[SG_AUDIT_MAX_BODY])
{
    struct sg_audit_text text = sg_audit_text_begin(
        out, SG_AUDIT_MAX_BODY, writer->options.read_wall_ms(), SG_AUDIT_EVENT_HEAD);
    sg_audit_text_string(&text, "kid", kid, SG_AUDIT_MAX_TEXT);
    sg_audit_text_string(&text, "jws", jws, SG_AUDIT_MAX_JWS);
    return sg_audit_text_end(&text);
}

static bool writer_sign(struct sg_audit_writer *writer, char jws[SG_AUDIT_MAX_JWS],
                        char kid[SG_MAX_KID_LEN + 1])
{
    char payload[256];
    char hex[SG_AUDIT_HEX_LEN + 1];
    struct sg_jws parsed;
    const struct sg_audit_mark *end = sg_audit_files_end(writer->files);
    sg_audit_hex(end->hash, hex);
    int len =
        snprintf(payload, sizeof(payload), "{\"seq\":%" PRIu64 ",\"hash\":\"%s\"}", end->seq, hex);
    if (len < 0 ||
        writer->options.sign_head(writer->options.context, payload, (size_t)len, jws) !=
            SIGNET_OK ||
        sg_jws_parse(jws, strnlen(jws, SG_AUDIT_MAX_JWS), &parsed).reason != SIGNET_REASON_NONE ||
        !parsed.has_kid) {
        return false;
    }
    memcpy(kid, parsed.kid, sizeof(parsed.kid));
    return true;
}

static bool writer_write_head(struct sg_audit_writer *writer, char reason[SG_AUDIT_MAX_REASON])
{
    char jws[SG_AUDIT_MAX_JWS];
    char kid[SG_MAX_KID_LEN + 1];
    uint64_t seq = sg_audit_files_end(writer->files)->seq;
    if (!writer_sign(writer, jws, kid)) {
        (void)snprintf(reason, SG_AUDIT_MAX_REASON, "there is no signature to be had");
        return false;
    }
    size_t len = writer_head_body(writer, jws, kid, writer->record);
    if (sg_audit_files_add(writer->files, 0, writer->record, len) != SIGNET_OK ||
        sg_audit_files_commit(writer->files, reason) != SIGNET_OK) {
        return false;
    }
    writer->head_seq = seq;
    writer->head_record = sg_audit_files_end(writer->files)->seq;
    sg_audit_queue_mark_written(writer->queue, sg_audit_files_end(writer->files));
    return true;
}

/* What a head vouches for is on the disk before the head is. */
static void writer_head(struct sg_audit_writer *writer, bool is_urgent, uint64_t now)
{
    char reason[SG_AUDIT_MAX_REASON] = "";
    if (writer->options.sign_head == NULL || writer->is_stuck ||
        sg_audit_files_end(writer->files)->seq == writer->head_record ||
        (!is_urgent && now - writer->head_ms < writer->head_wait_ms)) {
        return;
    }
    writer_sync(writer, now);
    bool is_written = writer_write_head(writer, reason);
    if (!is_written && !writer->is_unsigned) {
        sg_log(SG_LOG_WARNING,
               "audit: no signed head of the chain could be written: %s; it is tried "
               "again",
               reason);
    }
    writer->is_unsigned = !is_written;
    writer->head_ms = now;
    writer->head_wait_ms =
        is_written ? (uint64_t)writer->options.config->head_every_s * 1000u : WRITER_HEAD_RETRY_MS;
    writer_sync(writer, now);
}

/* ---- A step ---- */

/* A file ends with a head, as far as there is room for one. */
static void writer_rotate(struct sg_audit_writer *writer, const char *why, uint64_t now)
{
    writer_head(writer, true, now);
    sg_audit_files_next(writer->files, why);
}

static bool writer_has_work(const struct sg_audit_writer *writer)
{
    return writer->own_len > 0 ||
           sg_audit_queue_room(writer->queue) < sg_audit_queue_size(writer->queue);
}

void sg_audit_writer_step(struct sg_audit_writer *writer, bool is_urgent,
                          struct sg_audit_done *done)
{
    uint64_t now = writer->options.read_mono_ms();
    bool has_work = writer_has_work(writer);
    memset(done, 0, sizeof(*done));
    if (has_work || now - writer->looked_ms >= WRITER_LOOK_MS) {
        writer_look(writer, now);
    }
    if (has_work && sg_audit_files_is_due(writer->files)) {
        writer_rotate(writer, sg_audit_files_is_full(writer->files) ? "size" : "age", now);
    }
    if (has_work && writer_commit(writer, done)) {
        done->has_more = writer_has_work(writer);
    }
    if (is_urgent || now - writer->synced_ms >= SG_AUDIT_SYNC_MS) {
        writer_sync(writer, now);
    }
    writer_head(writer, is_urgent && !done->has_more, now);
    done->is_stuck = writer->is_stuck;
}

uint64_t sg_audit_writer_synced(const struct sg_audit_writer *writer)
{
    return writer->synced_number;
}

uint64_t sg_audit_writer_seq(const struct sg_audit_writer *writer)
{
    return sg_audit_files_end(writer->files)->seq;
}

uint64_t sg_audit_writer_head(const struct sg_audit_writer *writer)
{
    return writer->head_seq;
}
