/* SPDX-License-Identifier: Apache-2.0
 *
 * The front's end of the resolver, and what is remembered for all connections: hashes of programs, names of
 * users. Logs when the resolver ends or stops answering, and when it goes on: once each.
 *
 * Lock order: a line's mutex, or the resolver's own; never both.
 */
#include "server/peer_resolver.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "server/clock.h"
#include "server/log.h"

#define RESOLVER_QUICK_MS 2000u
#define RESOLVER_SLOW_MS  10500u
/* Remembered at most; the oldest goes. */
#define RESOLVER_MAX_HASHES 64u
#define RESOLVER_MAX_USERS  256u
#define RESOLVER_USER_MS    60000u
/* A file that was changed so shortly before could be changed again without its times saying so. */
#define RESOLVER_SETTLED_S 2
/* Of an entry of the user database. */
#define RESOLVER_MAX_ENTRY 4096u
/* A uid that nobody has: -1 is none, and -2 is nobody's on some systems. */
#define RESOLVER_NO_UID ((uid_t)-3)

/* One socket to the resolver. One question at a time; who waits for the line does so as long as for an
 * answer. */
struct resolver_line {
    int fd; /* -1: there is none */
    uint32_t patience_ms;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on CLOCK_MONOTONIC */
    /* Guarded by mutex. */
    bool is_busy;
    bool is_dead;    /* its other end is closed */
    bool owes;       /* the answer to number; until it has come, nothing is asked */
    uint32_t number; /* of the last question */
};

struct resolver_hash {
    struct sg_peer_file file;
    uint8_t sha256[SG_PEER_SHA256_LEN];
};

struct resolver_user {
    uid_t uid;
    bool is_used;
    uint64_t until_ms;
    uint32_t outcome;
    char name[SG_PEER_MAX_USER + 1];
};

struct sg_peer_resolver {
    const char *proc;
    uint64_t (*read_mono_ms)(void);
    bool (*find_user)(uid_t uid, char *out, size_t cap);
    struct resolver_line quick, slow;
    pthread_mutex_t mutex;
    /* Guarded by mutex. */
    bool has_told; /* that there is no answer; until there is one */
    struct resolver_hash hashes[RESOLVER_MAX_HASHES];
    size_t num_hashes, next_hash;
    struct resolver_user users[RESOLVER_MAX_USERS];
    size_t next_user;
};

/* ---- Making it ---- */

static bool resolver_name_user(uid_t uid, char *out, size_t cap)
{
    char bytes[RESOLVER_MAX_ENTRY];
    struct passwd entry;
    struct passwd *found = NULL;
    if (getpwuid_r(uid, &entry, bytes, sizeof(bytes), &found) != 0 || found == NULL) {
        return false;
    }
    size_t len = strlen(entry.pw_name);
    if (len >= cap) {
        return false;
    }
    memcpy(out, entry.pw_name, len + 1);
    return true;
}

static void line_init(struct resolver_line *line, int fd, uint32_t patience_ms)
{
    pthread_condattr_t attributes;
    *line = (struct resolver_line){.fd = fd, .patience_ms = patience_ms};
    /* These cannot fail with what they are given. */
    (void)pthread_mutex_init(&line->mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&line->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

static void line_fini(struct resolver_line *line)
{
    (void)pthread_cond_destroy(&line->changed);
    (void)pthread_mutex_destroy(&line->mutex);
}

signet_status sg_peer_resolver_new(const struct sg_peer_resolver_options *options,
                                   struct sg_peer_resolver **out)
{
    struct sg_peer_resolver *resolver = calloc(1, sizeof(*resolver));
    char name[SG_PEER_MAX_USER + 1];
    if (resolver == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    resolver->proc = options->proc != NULL ? options->proc : "/proc";
    resolver->read_mono_ms =
        options->read_mono_ms != NULL ? options->read_mono_ms : sg_clock_mono_ms;
    resolver->find_user = options->find_user != NULL ? options->find_user : resolver_name_user;
    (void)pthread_mutex_init(&resolver->mutex, NULL);
    line_init(&resolver->quick, options->process.quick_fd,
              options->quick_ms > 0 ? options->quick_ms : RESOLVER_QUICK_MS);
    line_init(&resolver->slow, options->process.slow_fd,
              options->slow_ms > 0 ? options->slow_ms : RESOLVER_SLOW_MS);
    /* Asked of every source that the system has, each of which may be code to be mapped. */
    (void)resolver->find_user(RESOLVER_NO_UID, name, sizeof(name));
    *out = resolver;
    return SIGNET_OK;
}

void sg_peer_resolver_free(struct sg_peer_resolver *resolver)
{
    if (resolver != NULL) {
        line_fini(&resolver->slow);
        line_fini(&resolver->quick);
        (void)pthread_mutex_destroy(&resolver->mutex);
        free(resolver);
    }
}

const char *sg_peer_resolver_proc(const struct sg_peer_resolver *resolver)
{
    return resolver->proc;
}

/* ---- Saying it ---- */

static void resolver_tell(struct sg_peer_resolver *resolver, bool answers, bool is_dead)
{
    pthread_mutex_lock(&resolver->mutex);
    bool is_new = resolver->has_told == answers;
    resolver->has_told = !answers;
    pthread_mutex_unlock(&resolver->mutex);
    if (is_new && answers) {
        sg_log(SG_LOG_INFO, "signet-resolver answers again");
    } else if (is_new) {
        sg_log(
            SG_LOG_ERROR,
            is_dead
                ? "signet-resolver, which looks at the programs of peers, has ended; grants that "
                  "ask for a program match nobody until signetd is restarted"
                : "signet-resolver, which looks at the programs of peers, does not answer; grants "
                  "that ask for a program match nobody until it does");
    }
}

/* ---- Asking ---- */

static struct timespec line_timespec(uint64_t at_ms)
{
    return (struct timespec){.tv_sec = (time_t)(at_ms / 1000u),
                             .tv_nsec = (long)(at_ms % 1000u) * 1000000L};
}

/* The line for oneself. False if it was not free in time. */
static bool line_take(struct resolver_line *line, uint64_t until_ms)
{
    const struct timespec until = line_timespec(until_ms);
    int result = 0;
    pthread_mutex_lock(&line->mutex);
    while (line->is_busy && result == 0) {
        result = pthread_cond_timedwait(&line->changed, &line->mutex, &until);
    }
    bool taken = !line->is_busy;
    line->is_busy = true;
    pthread_mutex_unlock(&line->mutex);
    return taken;
}

static void line_give(struct resolver_line *line)
{
    pthread_mutex_lock(&line->mutex);
    line->is_busy = false;
    pthread_cond_signal(&line->changed);
    pthread_mutex_unlock(&line->mutex);
}

/* What the other end says is believed as far as it has the form of an answer. */
static bool answer_is_sound(const struct sg_peer_answer *answer, ssize_t len)
{
    return len == (ssize_t)sizeof(*answer) && answer->outcome > 0 &&
           answer->outcome < SG_PEER_NUM_OUTCOMES &&
           answer->exe.path_outcome < SG_PEER_NUM_OUTCOMES &&
           memchr(answer->exe.path, '\0', sizeof(answer->exe.path)) != NULL;
}

/* Waits for the answer to the last question. The line is the caller's own. */
static bool line_receive(struct resolver_line *line, uint64_t until_ms, struct sg_peer_answer *out)
{
    for (;;) {
        uint64_t now_ms = sg_clock_mono_ms();
        struct pollfd ready = {.fd = line->fd, .events = POLLIN};
        int timeout_ms = until_ms > now_ms ? (int)(until_ms - now_ms) : 0;
        int num = poll(&ready, 1, timeout_ms);
        if (num < 0 && errno == EINTR) {
            continue;
        }
        if (num <= 0) {
            return false;
        }
        ssize_t len = recv(line->fd, out, sizeof(*out), MSG_DONTWAIT | MSG_TRUNC);
        if (len == 0 || (len < 0 && errno != EINTR && errno != EAGAIN)) {
            line->is_dead = true;
            return false;
        }
        if (answer_is_sound(out, len) && out->number == line->number) {
            line->owes = false;
            return true;
        }
    }
}

static bool line_send(struct resolver_line *line, struct sg_peer_question *question)
{
    question->number = ++line->number;
    ssize_t sent = send(line->fd, question, sizeof(*question), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        line->is_dead = true;
    }
    line->owes = sent == (ssize_t)sizeof(*question);
    return line->owes;
}

/* One question and its answer. The line is the caller's own. */
static bool line_talk(struct resolver_line *line, struct sg_peer_question *question,
                      uint64_t until_ms, struct sg_peer_answer *out)
{
    if (line->is_dead || (line->owes && !line_receive(line, 0, out))) {
        return false;
    }
    return line_send(line, question) && line_receive(line, until_ms, out);
}

static enum sg_peer_outcome resolver_ask(struct sg_peer_resolver *resolver,
                                         struct resolver_line *line,
                                         enum sg_peer_question_kind kind,
                                         const struct sg_peer_process *process,
                                         struct sg_peer_answer *out)
{
    struct sg_peer_question question = {.kind = (uint32_t)kind,
                                        .pid = (int32_t)process->pid,
                                        .uid = (uint32_t)process->uid,
                                        .started = process->started};
    uint64_t until_ms = sg_clock_mono_ms() + line->patience_ms;
    if (!line_take(line, until_ms)) {
        return SG_PEER_WOULD_WAIT; /* behind others, who learn whether it answers */
    }
    bool answered = line_talk(line, &question, until_ms, out);
    bool is_dead = line->is_dead;
    line_give(line);
    resolver_tell(resolver, answered, is_dead);
    return answered ? (enum sg_peer_outcome)out->outcome : SG_PEER_NO_ANSWER;
}

/* ---- Programs ---- */

enum sg_peer_outcome sg_peer_resolver_exe(struct sg_peer_resolver *resolver,
                                          const struct sg_peer_process *process, bool may_wait,
                                          struct sg_peer_exe *out)
{
    struct sg_peer_answer answer;
    struct resolver_line *line = may_wait ? &resolver->slow : &resolver->quick;
    if (line->fd < 0) {
        return sg_peer_exe_find(resolver->proc, process, may_wait, out);
    }
    enum sg_peer_outcome outcome = resolver_ask(resolver, line, SG_PEER_ASK_EXE, process, &answer);
    if (outcome == SG_PEER_FOUND) {
        *out = answer.exe;
    }
    return outcome;
}

/* Mutex held. NULL: it is not remembered. */
static struct resolver_hash *resolver_find_hash(struct sg_peer_resolver *resolver,
                                                const struct sg_peer_file *file)
{
    for (size_t i = 0; i < resolver->num_hashes; i++) {
        if (sg_peer_file_equal(&resolver->hashes[i].file, file)) {
            return &resolver->hashes[i];
        }
    }
    return NULL;
}

bool sg_peer_resolver_recall(struct sg_peer_resolver *resolver, const struct sg_peer_file *file,
                             uint8_t out[SG_PEER_SHA256_LEN])
{
    pthread_mutex_lock(&resolver->mutex);
    const struct resolver_hash *hash = resolver_find_hash(resolver, file);
    if (hash != NULL) {
        memcpy(out, hash->sha256, sizeof(hash->sha256));
    }
    pthread_mutex_unlock(&resolver->mutex);
    return hash != NULL;
}

static void resolver_remember(struct sg_peer_resolver *resolver, const struct sg_peer_file *file,
                              const uint8_t sha256[SG_PEER_SHA256_LEN])
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0 ||
        file->ctime_s > now.tv_sec - RESOLVER_SETTLED_S) {
        return;
    }
    pthread_mutex_lock(&resolver->mutex);
    if (resolver_find_hash(resolver, file) == NULL) {
        struct resolver_hash *hash = &resolver->hashes[resolver->next_hash];
        resolver->next_hash = (resolver->next_hash + 1) % RESOLVER_MAX_HASHES;
        resolver->num_hashes += resolver->num_hashes < RESOLVER_MAX_HASHES ? 1 : 0;
        hash->file = *file;
        memcpy(hash->sha256, sha256, sizeof(hash->sha256));
    }
    pthread_mutex_unlock(&resolver->mutex);
}

enum sg_peer_outcome sg_peer_resolver_hash(struct sg_peer_resolver *resolver,
                                           const struct sg_peer_process *process,
                                           const struct sg_peer_file *expected,
                                           uint8_t out[SG_PEER_SHA256_LEN])
{
    struct sg_peer_answer answer;
    enum sg_peer_outcome outcome;
    if (resolver->slow.fd < 0) {
        outcome = sg_peer_exe_hash(resolver->proc, process, &answer.exe.file, answer.sha256);
    } else {
        outcome = resolver_ask(resolver, &resolver->slow, SG_PEER_ASK_SHA256, process, &answer);
    }
    if (outcome != SG_PEER_FOUND) {
        return outcome;
    }
    resolver_remember(resolver, &answer.exe.file, answer.sha256);
    if (!sg_peer_file_equal(&answer.exe.file, expected)) {
        return SG_PEER_CHANGED;
    }
    memcpy(out, answer.sha256, sizeof(answer.sha256));
    return SG_PEER_FOUND;
}

/* ---- Users ---- */

/* Fit for templates, logs and file names; not to be taken for a uid. */
static bool user_is_plain(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char characters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.-@";
    size_t len = strlen(name);
    return len > 0 && strspn(name, characters) == len && strchr(".-@", name[0]) == NULL &&
           strpbrk(name, letters) != NULL;
}

/* Mutex held. NULL: it is not remembered, or not any more. */
static struct resolver_user *resolver_find_user(struct sg_peer_resolver *resolver, uid_t uid,
                                                uint64_t now_ms)
{
    for (size_t i = 0; i < RESOLVER_MAX_USERS; i++) {
        struct resolver_user *user = &resolver->users[i];
        if (user->is_used && user->uid == uid) {
            return now_ms < user->until_ms ? user : NULL;
        }
    }
    return NULL;
}

/* Mutex held. The place of the same uid, or of the one that came first. */
static struct resolver_user *resolver_place_user(struct sg_peer_resolver *resolver, uid_t uid)
{
    for (size_t i = 0; i < RESOLVER_MAX_USERS; i++) {
        if (resolver->users[i].is_used && resolver->users[i].uid == uid) {
            return &resolver->users[i];
        }
    }
    struct resolver_user *user = &resolver->users[resolver->next_user];
    resolver->next_user = (resolver->next_user + 1) % RESOLVER_MAX_USERS;
    return user;
}

enum sg_peer_outcome sg_peer_resolver_user(struct sg_peer_resolver *resolver, uid_t uid, char *out)
{
    struct resolver_user fresh = {.uid = uid, .is_used = true, .outcome = SG_PEER_NO_USER};
    uint64_t now_ms = resolver->read_mono_ms();
    pthread_mutex_lock(&resolver->mutex);
    const struct resolver_user *known = resolver_find_user(resolver, uid, now_ms);
    bool is_known = known != NULL;
    fresh = is_known ? *known : fresh;
    pthread_mutex_unlock(&resolver->mutex);
    if (!is_known) {
        if (resolver->find_user(uid, fresh.name, sizeof(fresh.name))) {
            fresh.outcome = user_is_plain(fresh.name) ? SG_PEER_FOUND : SG_PEER_ODD_USER;
        }
        fresh.until_ms = now_ms + RESOLVER_USER_MS;
        pthread_mutex_lock(&resolver->mutex);
        *resolver_place_user(resolver, uid) = fresh;
        pthread_mutex_unlock(&resolver->mutex);
    }
    if (fresh.outcome == SG_PEER_FOUND) {
        memcpy(out, fresh.name, sizeof(fresh.name));
    }
    return (enum sg_peer_outcome)fresh.outcome;
}
