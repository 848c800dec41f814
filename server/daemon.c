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
#include "server/confine_front.h"
#include "server/costs.h"
#include "server/daemon_keyholder.h"
#include "server/daemon_policy.h"
#include "server/dispatch.h"
#include "server/grant_text.h"
#include "server/keyholder/turns.h"
#include "server/keyholder_process.h"
#include "server/keymaster.h"
#include "server/listener.h"
#include "server/listener_threads.h"
#include "server/log.h"
#include "server/mac_cache.h"
#include "server/metrics.h"
#include "server/notify.h"
#include "server/options.h"
#include "server/peer_resolver.h"
#include "server/quota.h"
#include "server/reload.h"
#include "server/runtime_dir.h"
#include "server/timekeeper.h"
#include "server/workers.h"

/* Replies in flight get this long at the end; with what else there is to do, within two seconds. */
#define DAEMON_GRACE_MS 1500u
/* The admin socket's come first. */
#define DAEMON_ADMIN_GRACE_MS    200u
#define DAEMON_ADMIN_CONNECTIONS 64u
/* Operators have workers of their own, so that no flood of services keeps a revocation waiting. */
#define DAEMON_ADMIN_WORKERS 2u
#define DAEMON_ADMIN_THREADS 1u
/* Besides workers and those who serve connections: the calendar, a reload, the start of another keyholder. */
#define DAEMON_OTHER_CALLERS 3u
/* nng's thread serves as well, for each of the two sockets. */
#define DAEMON_TASKS 2u
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
    struct sg_peer_resolver_process resolver_process;
    struct sg_peer_resolver *resolver;
    struct sg_daemon_keyholder keyholder;
    struct sg_keymaster *keymaster;
    struct sg_reloader *reloader;
    struct sg_daemon_policy policy;
    struct sg_metrics *metrics;
    struct sg_service service, admin_service;
    struct sg_costs *costs;
    struct sg_quota *quota, *admin_quota;
    struct sg_workers *workers, *admin_workers;
    struct sg_timekeeper *timekeeper;
    struct sg_listener *listener, *admin_listener;
    struct sg_listener_threads *resting;
    struct sg_mac_cache *macs; /* NULL: none are kept */
    char socket_path[128], admin_path[128], jwks_path[128];
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

static void daemon_warn(void *context, const char *text)
{
    const struct daemon *daemon = context;
    sg_log(SG_LOG_WARNING, "%s: %s", daemon->options->config_file, text);
}

/* --dev has no file that anybody could mend. */
static void daemon_warn_of_grants(struct daemon *daemon)
{
    if (!daemon->options->is_dev) {
        sg_grants_warn(daemon->config, daemon_warn, daemon);
    }
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

static bool daemon_name(const struct daemon *daemon, const char *name, char *out, size_t out_cap)
{
    int len = snprintf(out, out_cap, "%s/%s", daemon->config->runtime_dir, name);
    return len > 0 && (size_t)len < out_cap;
}

static bool daemon_lock(struct daemon *daemon)
{
    char error[512] = "";
    if (!daemon_name(daemon, "signet.sock", daemon->socket_path, sizeof(daemon->socket_path)) ||
        !daemon_name(daemon, "admin.sock", daemon->admin_path, sizeof(daemon->admin_path)) ||
        !daemon_name(daemon, "jwks.json", daemon->jwks_path, sizeof(daemon->jwks_path))) {
        sg_log(SG_LOG_ERROR, "%s: too long for a socket", daemon->config->runtime_dir);
        return false;
    }
    if (sg_runtime_dir_lock(daemon->config->runtime_dir, &daemon->lock_fd, error, sizeof(error)) !=
            SIGNET_OK ||
        sg_runtime_dir_clear(daemon->socket_path, error, sizeof(error)) != SIGNET_OK ||
        sg_runtime_dir_clear(daemon->admin_path, error, sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s", error);
        return false;
    }
    return true;
}

/* Each of these needs rights that the daemon gives up. The resolver first: where a service manager gave rights
 * for it, the launcher is not to have them. */
static bool daemon_launch(struct daemon *daemon)
{
    if (sg_peer_resolver_launch(daemon->uid, daemon->gid, &daemon->resolver_process) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "the process that looks at peers' programs does not start: %s",
               strerrordesc_np(errno));
        return false;
    }
    return sg_daemon_keyholder_launch(&daemon->keyholder, daemon->config, daemon->uid, daemon->gid);
}

static bool daemon_make_resolver(struct daemon *daemon)
{
    const struct sg_peer_resolver_options options = {.process = daemon->resolver_process};
    if (sg_peer_resolver_new(&options, &daemon->resolver) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "no memory");
        return false;
    }
    return true;
}

static bool daemon_start_keyholder(struct daemon *daemon)
{
    const uint32_t num_others = DAEMON_ADMIN_WORKERS + DAEMON_OTHER_CALLERS;
    return sg_daemon_keyholder_start(&daemon->keyholder, daemon->options->passphrase_fd,
                                     sg_listener_default_threads() + DAEMON_ADMIN_THREADS +
                                         DAEMON_TASKS + num_others,
                                     daemon->config->limits.workers + num_others);
}

static bool daemon_make_keys(struct daemon *daemon)
{
    char error[DAEMON_MAX_ERROR] = "";
    const struct sg_keymaster_options options = {
        .config = daemon->config,
        .keyholder = daemon->keyholder.keyholder,
        .jwks_path = daemon->jwks_path,
        .passphrase_fd = daemon->options->passphrase_fd,
        .read_wall_s = sg_clock_wall_s,
    };
    if (sg_keymaster_new(&options, &daemon->keymaster, error, sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s", error);
        return false;
    }
    if (sg_config_is_ephemeral(daemon->config)) {
        sg_log(
            SG_LOG_WARNING,
            daemon->options->is_dev
                ? "DEVELOPMENT MODE: throw-away keys, which end with the keyholder's process; never use it "
                  "for anything real"
                : "keystore.key is ephemeral: keys are made at every start, and tokens signed "
                  "before it are refused after it");
    }
    if (sg_reloader_new(daemon->options, daemon->config, daemon->keymaster, &daemon->reloader) !=
        SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "no memory");
        return false;
    }
    return true;
}

static void daemon_read_stats(void *context, struct sg_server_stats *stats)
{
    const struct daemon *daemon = context;
    sg_listener_read_stats(daemon->listener, stats);
    sg_keyholder_process_read(daemon->keyholder.keyholder, &stats->keyholder);
}

static bool daemon_is_stopping(void *context)
{
    const struct daemon *daemon = context;
    return sg_listener_is_abandoning(daemon->listener);
}

static void daemon_reload(void *context, struct sg_reload_report *report)
{
    const struct daemon *daemon = context;
    sg_reloader_run(daemon->reloader, report);
}

static void daemon_on_applied(void *context, const struct sg_config *config)
{
    const struct daemon *daemon = context;
    sg_costs_measure_config(daemon->costs, config);
}

static void daemon_describe_grants(void *context, void (*line)(void *context, const char *text),
                                   void *line_context)
{
    const struct daemon *daemon = context;
    sg_reloader_describe_grants(daemon->reloader, line, line_context);
}

static struct sg_metrics *daemon_make_metrics(void)
{
    size_t num_methods = 0;
    while (sg_dispatch_method_name(num_methods + 1) != NULL) {
        num_methods++;
    }
    return sg_metrics_new(num_methods);
}

static void daemon_make_services(struct daemon *daemon)
{
    daemon->service = (struct sg_service){
        .keyrings = sg_keymaster_keyrings(daemon->keymaster),
        .keyholder = daemon->keyholder.keyholder,
        .metrics = daemon->metrics,
        .audit = daemon->policy.audit,
        .audits_verifications = daemon->config->audit.verifications,
        .fuse = daemon->policy.fuse,
        .revocations = daemon->policy.revocations,
        .consumed = daemon->policy.consumed,
        .macs = daemon->macs,
        .costs = daemon->costs,
        .resolver = daemon->resolver,
        .version = SG_VERSION,
        .started = sg_clock_now(),
        .ephemeral_keys = sg_config_is_ephemeral(daemon->config),
        .read_mono_ms = sg_clock_mono_ms,
        .read_mono_us = sg_clock_mono_us,
        .is_stopping = daemon_is_stopping,
        .read_stats = daemon_read_stats,
        .stats_context = daemon,
    };
    daemon->admin_service = daemon->service;
    daemon->admin_service.is_admin = true;
    daemon->admin_service.keymaster = daemon->keymaster;
    daemon->admin_service.reload = daemon_reload;
    daemon->admin_service.quota = daemon->quota;
    daemon->admin_service.describe_grants = daemon_describe_grants;
    daemon->admin_service.reload_context = daemon;
}

/* What the services socket's peers may have; on the admin socket only connections are counted. */
static bool daemon_make_quotas(struct daemon *daemon)
{
    const struct sg_config_limits admin = {
        .max_connections = DAEMON_ADMIN_CONNECTIONS,
        .max_connections_per_uid = DAEMON_ADMIN_CONNECTIONS,
        .max_in_flight = DAEMON_ADMIN_CONNECTIONS,
        .max_in_flight_per_uid = DAEMON_ADMIN_CONNECTIONS,
    };
    if (sg_costs_new(&daemon->costs) != SIGNET_OK ||
        sg_quota_new(&daemon->config->limits, sg_quota_default_cpus(), &daemon->quota) !=
            SIGNET_OK ||
        sg_quota_new(&admin, 1, &daemon->admin_quota) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "no memory");
        return false;
    }
    sg_costs_measure_config(daemon->costs, daemon->config);
    return true;
}

/* Who gets half of the processors has no more than half of the workers at a time: all at once, for half of the
 * time, would leave others without a processor meanwhile. */
static unsigned daemon_most_workers(const struct sg_config_limits *limits)
{
    return (limits->workers * limits->cpu_per_uid_percent + 99u) / 100u; /* 0: it is not counted */
}

static bool daemon_start_threads(struct daemon *daemon)
{
    if (!sg_daemon_policy_start(&daemon->policy, daemon->config, daemon->keymaster,
                                daemon->keyholder.keyholder)) {
        return false;
    }
    daemon->metrics = daemon_make_metrics();
    if (daemon->metrics == NULL) {
        sg_log(SG_LOG_ERROR, "no memory");
        return false;
    }
    const uint32_t num_macs = daemon->config->limits.max_cached_macs;
    if (num_macs > 0 && (daemon->macs = sg_mac_cache_new(num_macs)) == NULL) {
        sg_log(SG_LOG_ERROR, "no memory for %u tokens; lower limits.max_cached_macs", num_macs);
        return false;
    }
    daemon_make_services(daemon);
    sg_reloader_on_applied(daemon->reloader, daemon_on_applied, daemon);
    if (!sg_daemon_keyholder_watch(&daemon->keyholder, daemon->keymaster)) {
        return false;
    }
    if (sg_workers_new(daemon->config->limits.workers, DAEMON_MAX_QUEUED,
                       daemon_most_workers(&daemon->config->limits),
                       &daemon->workers) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%u worker threads do not start; lower limits.workers",
               daemon->config->limits.workers);
        return false;
    }
    if (sg_workers_new(DAEMON_ADMIN_WORKERS, DAEMON_ADMIN_CONNECTIONS, 0, &daemon->admin_workers) !=
        SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "the threads for operators do not start");
        return false;
    }
    if (sg_timekeeper_new(daemon->keymaster, &daemon->timekeeper) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "the thread that rotates keys does not start");
        return false;
    }
    return true;
}

static bool daemon_listen_on(const struct sg_listener_options *options,
                             const struct sg_service *service, struct sg_workers *workers,
                             struct sg_listener **listener)
{
    char error[512] = "";
    if (sg_listener_start(options, service, workers, listener, error, sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s: %s", options->path, error);
        return false;
    }
    return true;
}

/* The services socket first: the admin socket's Status asks for its counts. */
static bool daemon_listen(struct daemon *daemon)
{
    daemon->resting = sg_listener_threads_rest();
    const struct sg_listener_options options = {
        .path = daemon->socket_path,
        .mode = daemon->config->socket_mode,
        .limits = daemon->config->limits,
        .quota = daemon->quota,
        .resolver = daemon->resolver,
        .threads = daemon->resting,
    };
    struct sg_listener_options admin = options;
    admin.path = daemon->admin_path;
    admin.mode = 0600;
    admin.quota = daemon->admin_quota;
    admin.num_threads = DAEMON_ADMIN_THREADS;
    admin.limits.max_connections = DAEMON_ADMIN_CONNECTIONS;
    admin.limits.max_connections_per_uid = DAEMON_ADMIN_CONNECTIONS;
    if (!daemon_listen_on(&options, &daemon->service, daemon->workers, &daemon->listener)) {
        return false;
    }
    return daemon_listen_on(&admin, &daemon->admin_service, daemon->admin_workers,
                            &daemon->admin_listener);
}

static void daemon_ready(const struct daemon *daemon)
{
    sg_daemon_policy_note(&daemon->policy, "start", SG_AUDIT_OK, SG_VERSION);
    sg_log(SG_LOG_INFO, "ready on %s, %zu keysets, version %s, pid %ld", daemon->socket_path,
           daemon->config->num_keysets, SG_VERSION, (long)getpid());
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

static void daemon_on_hangup(struct daemon *daemon)
{
    struct sg_reload_report *report = calloc(1, sizeof(*report));
    if (report == NULL) {
        sg_log(SG_LOG_ERROR, "no memory to reload");
        return;
    }
    sg_notify("RELOADING=1");
    sg_reloader_run(daemon->reloader, report);
    sg_daemon_policy_note(&daemon->policy, "reload", report->applied ? SG_AUDIT_OK : SG_AUDIT_ERROR,
                          report->applied ? "on SIGHUP" : report->problems);
    sg_notify("READY=1");
    free(report);
}

/* Returns with the signal that ends the daemon. */
static int daemon_wait(struct daemon *daemon)
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
        daemon_on_hangup(daemon);
    }
}

/* ---- Life ---- */

/* Before the first other thread, and before anything from outside but the configuration is parsed. */
static bool daemon_confine(void)
{
    if (!sg_confine_front()) {
        sg_log(SG_LOG_WARNING, "the daemon's own system calls are not restricted: no seccomp here");
    }
    return true;
}

static bool daemon_start(struct daemon *daemon)
{
    return daemon_choose_user(daemon) && daemon_launch(daemon) && daemon_make_runtime_dir(daemon) &&
           daemon_drop_user(daemon) && daemon_harden() && daemon_lock(daemon) &&
           daemon_start_keyholder(daemon) && daemon_make_resolver(daemon) && daemon_confine() &&
           daemon_make_keys(daemon) && daemon_make_quotas(daemon) && daemon_block_signals(daemon) &&
           daemon_start_threads(daemon) && daemon_listen(daemon);
}

/* Releases what was started, however far that went. */
static void daemon_stop(struct daemon *daemon)
{
    sg_keyholder_process_hurry(daemon->keyholder.keyholder);
    sg_listener_stop(daemon->admin_listener, DAEMON_ADMIN_GRACE_MS);
    sg_workers_free(daemon->admin_workers);
    sg_timekeeper_free(daemon->timekeeper);
    sg_listener_stop(daemon->listener, DAEMON_GRACE_MS);
    sg_listener_threads_wake(daemon->resting);
    sg_workers_free(daemon->workers);
    sg_quota_free(daemon->admin_quota);
    sg_quota_free(daemon->quota);
    sg_metrics_free(daemon->metrics);
    sg_mac_cache_free(daemon->macs);
    sg_daemon_policy_note(&daemon->policy, "stop", SG_AUDIT_OK, NULL);
    sg_daemon_policy_stop(&daemon->policy);
    sg_costs_free(daemon->costs);
    sg_keymaster_free(daemon->keymaster);
    sg_reloader_free(daemon->reloader);
    sg_daemon_keyholder_stop(&daemon->keyholder);
    sg_peer_resolver_free(daemon->resolver);
    sg_peer_resolver_stop(&daemon->resolver_process);
    if (daemon->lock_fd >= 0) {
        (void)close(daemon->lock_fd);
    }
    sg_config_free(daemon->config);
}

int sg_daemon_run(const struct sg_options *options)
{
    struct daemon daemon = {.options = options,
                            .lock_fd = -1,
                            .resolver_process = SG_PEER_RESOLVER_NONE,
                            .keyholder = {.launcher_fd = -1}};
    /* A peer that went away is an error of one write, not the end of the process. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* likewise a file that may not grow */
    if (sg_daemon_load(options, &daemon.config) != SIGNET_OK) {
        return EXIT_FAILURE;
    }
    daemon_warn_of_grants(&daemon);
    sg_turns_shorten(); /* before the keyholder's launcher, which inherits it */
    if (!daemon_start(&daemon)) {
        daemon_stop(&daemon);
        return EXIT_FAILURE;
    }
    daemon_ready(&daemon);
    int number = daemon_wait(&daemon);
    sg_log(SG_LOG_INFO, "stopping: %s", sigabbrev_np(number) != NULL ? sigabbrev_np(number) : "?");
    sg_notify("STOPPING=1");
    daemon_stop(&daemon);
    sg_log(SG_LOG_INFO, "stopped");
    return EXIT_SUCCESS;
}
