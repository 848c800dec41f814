/* SPDX-License-Identifier: Apache-2.0
 *
 * Puts the parts together, in the order in which they stand on each other, and takes them down in
 * the reverse. Runs on the main thread, which is the only one that receives signals.
 */
#include "server/daemon.h"

#include <errno.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/keyholder/keyholder.h"
#include "server/keyring.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/notify.h"
#include "server/options.h"
#include "server/runtime_dir.h"
#include "server/workers.h"

/* Replies in flight get this long at the end; with what else there is to do, within two seconds. */
#define DAEMON_GRACE_MS 1500u
/* Work that waits for a worker; beyond it callers are told to come back. */
#define DAEMON_MAX_QUEUED       1024u
#define DAEMON_MAX_ERROR        4096u
#define DAEMON_MALLOC_THRESHOLD (128 * 1024)

struct daemon {
    const struct sg_options *options;
    struct sg_config *config;
    uid_t uid; /* to run as */
    gid_t gid;
    int lock_fd;
    struct sg_keyholder *keyholder;
    struct sg_keyring *keyring;
    struct sg_service service;
    struct sg_workers *workers;
    struct sg_listener *listener;
    char socket_path[128];
};

/* ---- Configuration ---- */

static void daemon_log_lines(const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        sg_log(SG_LOG_ERROR, "%.*s", (int)len, text);
        text += len + (text[len] == '\n' ? 1 : 0);
    }
}

signet_status sg_daemon_load(const struct sg_options *options, struct sg_config **out)
{
    char error[DAEMON_MAX_ERROR] = "no memory";
    struct sg_config *config = NULL;
    signet_status status =
        options->is_dev ? sg_config_demo(&config)
                        : sg_config_load(options->config_file, &config, error, sizeof(error));
    if (status == SIGNET_OK) {
        status =
            sg_config_override(config, options->runtime_dir, options->user, error, sizeof(error));
    }
    if (status != SIGNET_OK) {
        daemon_log_lines(error);
        sg_config_free(config);
        return status;
    }
    *out = config;
    return SIGNET_OK;
}

/* ---- Who the daemon is ---- */

/* Finds out who to run as. Staying root takes --dev, or saying so. */
static bool daemon_choose_user(struct daemon *daemon)
{
    const char *name = daemon->config->user;
    daemon->uid = geteuid();
    daemon->gid = getegid();
    if (name == NULL) {
        if (daemon->uid == 0 && !daemon->options->is_dev) {
            sg_log(SG_LOG_ERROR,
                   "refusing to run as root; set \"user\" in %s, or give --user NAME "
                   "(--user root stays root)",
                   daemon->options->config_file);
            return false;
        }
        return true;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread yet. */
    const struct passwd *entry = getpwnam(name);
    if (entry == NULL) {
        sg_log(SG_LOG_ERROR, "there is no user %s; make one: useradd --system %s", name, name);
        return false;
    }
    if (daemon->uid != 0 && daemon->uid != entry->pw_uid) {
        sg_log(SG_LOG_ERROR, "only root can change to user %s; start as root or as %s", name, name);
        return false;
    }
    daemon->uid = entry->pw_uid;
    daemon->gid = entry->pw_gid;
    return true;
}

static bool daemon_make_runtime_dir(struct daemon *daemon)
{
    char error[512] = "";
    if (sg_runtime_dir_make(daemon->config->runtime_dir, daemon->uid, daemon->gid, error,
                            sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s", error);
        return false;
    }
    return true;
}

/* For good: afterwards, root cannot be had back. */
static bool daemon_drop_user(struct daemon *daemon)
{
    if (geteuid() != 0 || daemon->uid == 0) {
        return true;
    }
    if (initgroups(daemon->config->user, daemon->gid) != 0 ||
        setresgid(daemon->gid, daemon->gid, daemon->gid) != 0 ||
        setresuid(daemon->uid, daemon->uid, daemon->uid) != 0) {
        sg_log(SG_LOG_ERROR, "cannot change to user %s: %s", daemon->config->user,
               strerrordesc_np(errno));
        return false;
    }
    if (setuid(0) == 0 || geteuid() != daemon->uid || getegid() != daemon->gid) {
        sg_log(SG_LOG_ERROR, "changing to user %s had no lasting effect", daemon->config->user);
        return false;
    }
    return true;
}

static bool daemon_harden(void)
{
    const struct rlimit no_core = {0, 0};
    (void)umask(0077);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &no_core) != 0) {
        sg_log(SG_LOG_ERROR, "cannot protect the process's memory: %s", strerrordesc_np(errno));
        return false;
    }
    /* Many threads that do little each: without a bound, every one takes memory of its own. The
     * thresholds are glibc's own, but set, so that one large request does not raise them for good and
     * leave the daemon with memory that it will not need again. */
    /* NOLINTBEGIN(concurrency-mt-unsafe): there is no other thread yet. */
    (void)mallopt(M_ARENA_MAX, 4);
    (void)mallopt(M_MMAP_THRESHOLD, DAEMON_MALLOC_THRESHOLD);
    (void)mallopt(M_TRIM_THRESHOLD, DAEMON_MALLOC_THRESHOLD);
    /* NOLINTEND(concurrency-mt-unsafe) */
    return true;
}

/* ---- Parts ---- */

static bool daemon_lock(struct daemon *daemon)
{
    char error[512] = "";
    int len = snprintf(daemon->socket_path, sizeof(daemon->socket_path), "%s/signet.sock",
                       daemon->config->runtime_dir);
    if (len < 0 || (size_t)len >= sizeof(daemon->socket_path)) {
        sg_log(SG_LOG_ERROR, "%s: too long for a socket", daemon->config->runtime_dir);
        return false;
    }
    if (sg_runtime_dir_lock(daemon->config->runtime_dir, &daemon->lock_fd, error, sizeof(error)) !=
            SIGNET_OK ||
        sg_runtime_dir_clear(daemon->socket_path, error, sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s", error);
        return false;
    }
    return true;
}

static bool daemon_start_keyholder(struct daemon *daemon)
{
    if (sg_keyholder_new(&daemon->keyholder) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "the keyholder does not start: no memory that is fit for secrets");
        return false;
    }
    if (!sg_keyholder_is_locked(daemon->keyholder)) {
        sg_log(SG_LOG_WARNING, "the memory of keys could not be locked and may reach swap; raise "
                               "RLIMIT_MEMLOCK (LimitMEMLOCK) to 8 MiB");
    }
    return true;
}

static bool daemon_make_keys(struct daemon *daemon)
{
    char error[512] = "";
    if (sg_keyring_new(daemon->config, daemon->keyholder, (int64_t)time(NULL), &daemon->keyring,
                       error, sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s", error);
        return false;
    }
    sg_log(SG_LOG_WARNING,
           daemon->options->is_dev
               ? "DEVELOPMENT MODE: throw-away keys, which end with this process; never use it for "
                 "anything real"
               : "keys live in memory only: they are made at every start, and tokens signed before "
                 "it are refused after it");
    return true;
}

static void daemon_read_stats(void *context, struct sg_server_stats *stats)
{
    const struct daemon *daemon = context;
    sg_listener_read_stats(daemon->listener, stats);
}

static bool daemon_is_stopping(void *context)
{
    const struct daemon *daemon = context;
    return sg_listener_is_abandoning(daemon->listener);
}

static bool daemon_start_workers(struct daemon *daemon)
{
    daemon->service = (struct sg_service){
        .keyring = daemon->keyring,
        .keyholder = daemon->keyholder,
        .version = SG_VERSION,
        .started = sg_clock_now(),
        .ephemeral_keys = true,
        .read_mono_ms = sg_clock_mono_ms,
        .is_stopping = daemon_is_stopping,
        .read_stats = daemon_read_stats,
        .stats_context = daemon,
    };
    if (sg_workers_new(daemon->config->limits.workers, DAEMON_MAX_QUEUED, &daemon->workers) !=
        SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%u worker threads do not start; lower limits.workers",
               daemon->config->limits.workers);
        return false;
    }
    return true;
}

static bool daemon_listen(struct daemon *daemon)
{
    char error[512] = "";
    const struct sg_listener_options options = {
        .path = daemon->socket_path,
        .mode = daemon->config->socket_mode,
        .limits = daemon->config->limits,
    };
    if (sg_listener_start(&options, &daemon->service, daemon->workers, &daemon->listener, error,
                          sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s: %s", daemon->socket_path, error);
        return false;
    }
    return true;
}

static void daemon_ready(const struct daemon *daemon)
{
    sg_log(SG_LOG_INFO, "ready on %s, %zu keysets, version %s, pid %ld", daemon->socket_path,
           sg_keyring_num_keysets(daemon->keyring), SG_VERSION, (long)getpid());
    sg_notify("READY=1");
}

/* ---- Signals ---- */

/* Before the first other thread, which inherits this, so that signals wait for daemon_wait. Until
 * then they have their usual effect, which is right: there is nothing yet to be stopped in
 * order. */
static bool daemon_block_signals(struct daemon *daemon)
{
    (void)daemon;
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    return pthread_sigmask(SIG_BLOCK, &set, NULL) == 0;
}

/* Returns with the signal that ends the daemon. */
static int daemon_wait(void)
{
    sigset_t set;
    int number = 0;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    for (;;) {
        if (sigwait(&set, &number) != 0) {
            continue;
        }
        if (number != SIGHUP) {
            return number;
        }
        sg_log(SG_LOG_WARNING, "reload is not supported yet; restart to read the configuration");
    }
}

/* ---- Life ---- */

static bool daemon_start(struct daemon *daemon)
{
    return daemon_choose_user(daemon) && daemon_make_runtime_dir(daemon) &&
           daemon_drop_user(daemon) && daemon_harden() && daemon_lock(daemon) &&
           daemon_start_keyholder(daemon) && daemon_make_keys(daemon) &&
           daemon_block_signals(daemon) && daemon_start_workers(daemon) && daemon_listen(daemon);
}

/* Releases what was started, however far that went. */
static void daemon_stop(struct daemon *daemon)
{
    if (daemon->listener != NULL) {
        sg_listener_stop(daemon->listener, DAEMON_GRACE_MS);
    }
    sg_workers_free(daemon->workers);
    sg_keyring_free(daemon->keyring);
    sg_keyholder_free(daemon->keyholder);
    if (daemon->lock_fd >= 0) {
        (void)close(daemon->lock_fd);
    }
    sg_config_free(daemon->config);
}

int sg_daemon_run(const struct sg_options *options)
{
    struct daemon daemon = {.options = options, .lock_fd = -1};
    /* A peer that went away is an error of one write, not the end of the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    if (sg_daemon_load(options, &daemon.config) != SIGNET_OK) {
        return EXIT_FAILURE;
    }
    if (!daemon_start(&daemon)) {
        daemon_stop(&daemon);
        return EXIT_FAILURE;
    }
    daemon_ready(&daemon);
    int number = daemon_wait();
    sg_log(SG_LOG_INFO, "stopping: %s", sigabbrev_np(number) != NULL ? sigabbrev_np(number) : "?");
    sg_notify("STOPPING=1");
    daemon_stop(&daemon);
    sg_log(SG_LOG_INFO, "stopped");
    return EXIT_SUCCESS;
}
