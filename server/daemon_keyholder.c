/* SPDX-License-Identifier: Apache-2.0
 *
 * Starting the keyholder's process, and having it started again. Never sees a key, nor what opens the
 * keystore.
 */
#include "server/daemon_keyholder.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/keyholder_process.h"
#include "server/keymaster.h"
#include "server/launcher.h"
#include "server/log.h"

#define KEYHOLDER_PROGRAM "signet-keyholder"

/* ---- The launcher ---- */

static bool keyholder_choose_user(struct sg_daemon_keyholder *part, uid_t uid, gid_t gid)
{
    const char *name = part->config->keyholder.user;
    part->uid = uid;
    part->gid = gid;
    part->change_user = geteuid() == 0;
    if (name == NULL) {
        return true;
    }
    if (geteuid() != 0) {
        sg_log(
            SG_LOG_ERROR,
            "keyholder.user: only root can start the keyholder as %s; start as root, or leave it "
            "out",
            name);
        return false;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread yet. */
    const struct passwd *entry = getpwnam(name);
    if (entry == NULL) {
        sg_log(SG_LOG_ERROR, "keyholder.user: there is no user %s; make one: useradd --system %s",
               name, name);
        return false;
    }
    if (entry->pw_uid == uid) {
        sg_log(SG_LOG_ERROR,
               "keyholder.user: %s is the daemon's own user; give the keyholder another, or leave "
               "it out",
               name);
        return false;
    }
    part->uid = entry->pw_uid;
    part->gid = entry->pw_gid;
    return true;
}

/* Installed, it is in libexec; in a build tree, beside the daemon. */
static bool keyholder_find_program(char *out, size_t cap)
{
    static const char *const places[] = {"/" SG_LIBEXEC "/" KEYHOLDER_PROGRAM,
                                         "/" KEYHOLDER_PROGRAM};
    char dir[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
    dir[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(dir, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int written = snprintf(out, cap, "%s%s", dir, places[i]);
        if (written > 0 && (size_t)written < cap && access(out, X_OK) == 0) {
            return true;
        }
    }
    sg_log(SG_LOG_ERROR,
           KEYHOLDER_PROGRAM ", which holds the keys, is at neither %s%s nor %s%s; it is installed "
                             "together with signetd: install it again",
           dir, places[0], dir, places[1]);
    return false;
}

bool sg_daemon_keyholder_launch(struct sg_daemon_keyholder *part, const struct sg_config *config,
                                uid_t uid, gid_t gid)
{
    char program[PATH_MAX + 64];
    part->config = config;
    part->launcher_fd = -1;
    if (config->keyholder.socket != NULL) {
        return true;
    }
    if (!keyholder_choose_user(part, uid, gid) ||
        !keyholder_find_program(program, sizeof(program))) {
        return false;
    }
    const struct sg_launcher_options options = {
        .program = program,
        .change_user = part->change_user,
        .uid = part->uid,
        .gid = part->gid,
    };
    if (sg_launcher_start(&options, &part->launcher_fd, &part->launcher_pid) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "the launcher does not start: %s", strerrordesc_np(errno));
        return false;
    }
    return true;
}

/* ---- The process ---- */

static void keyholder_log_weakness(const struct sg_daemon_keyholder *part)
{
    struct sg_keyholder_state state;
    sg_keyholder_process_read(part->keyholder, &state);
    if (sg_config_is_ephemeral(part->config)) {
        return; /* what could be found in swap is of no use any more */
    }
    if ((state.protections & SG_PROTECT_LOCKED_KEYS) == 0) {
        sg_log(SG_LOG_WARNING, "the memory of keys could not be locked and may reach swap; raise "
                               "RLIMIT_MEMLOCK (LimitMEMLOCK) to 8 MiB, or better, infinity");
    } else if ((state.protections & SG_PROTECT_LOCKED_MEMORY) == 0) {
        sg_log(SG_LOG_WARNING,
               "not all of the keyholder's memory could be locked: what OpenSSL copies of keys in "
               "use may reach swap; raise RLIMIT_MEMLOCK (LimitMEMLOCK) to infinity");
    }
}

bool sg_daemon_keyholder_start(struct sg_daemon_keyholder *part, int passphrase_fd,
                               uint32_t num_callers, uint32_t num_slow_callers)
{
    char error[SG_DAEMON_KEYHOLDER_MAX_ERROR] = "";
    bool has_keystore = !sg_config_is_ephemeral(part->config);
    const struct sg_keyholder_process_options options = {
        .launcher_fd = part->launcher_fd,
        .socket = part->config->keyholder.socket,
        .dir = has_keystore ? part->config->state_dir : NULL,
        .source = has_keystore ? part->config->keystore_key : NULL,
        .passphrase_fd = passphrase_fd,
        .num_callers = num_callers,
        .num_slow_callers = num_slow_callers,
        .required = part->config->keyholder.required,
    };
    if (sg_keyholder_process_start(&options, &part->keyholder, error, sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s", error);
        return false;
    }
    keyholder_log_weakness(part);
    return true;
}

/* ---- Another one ---- */

static signet_status keyholder_again(void *context, char *error, size_t error_cap)
{
    const struct sg_daemon_keyholder *part = context;
    return sg_keyholder_process_again(part->keyholder, error, error_cap);
}

/* On the watcher's thread. What fails is logged once. */
static bool keyholder_revive(void *context)
{
    struct sg_daemon_keyholder *part = context;
    char error[sizeof(part->fault)] = "";
    if (part->fault[0] == '\0') {
        sg_log(SG_LOG_WARNING, "the keyholder's process has ended; another is started");
    }
    if (sg_keymaster_revive(part->keymaster, keyholder_again, part, error, sizeof(error)) !=
        SIGNET_OK) {
        if (strcmp(part->fault, error) != 0) {
            sg_log(SG_LOG_ERROR, "no keyholder: %s", error);
            memcpy(part->fault, error, sizeof(error));
        }
        return false;
    }
    if (!sg_keyholder_process_ready(part->keyholder)) {
        return false; /* it has ended again already */
    }
    part->fault[0] = '\0';
    struct sg_keyholder_state state;
    sg_keyholder_process_read(part->keyholder, &state);
    sg_log(SG_LOG_INFO, "the keyholder is back, pid %ld", (long)state.pid);
    return true;
}

bool sg_daemon_keyholder_watch(struct sg_daemon_keyholder *part, struct sg_keymaster *keymaster)
{
    part->keymaster = keymaster;
    if (!sg_keyholder_process_ready(part->keyholder)) {
        sg_log(SG_LOG_ERROR, "the keyholder's process ended while it loaded the keys");
        return false;
    }
    if (sg_keyholder_process_watch(part->keyholder, keyholder_revive, part) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "the thread that watches over the keyholder does not start");
        return false;
    }
    return true;
}

void sg_daemon_keyholder_stop(struct sg_daemon_keyholder *part)
{
    /* First, as it ends a keyholder that would not end by itself. Nothing is under way any more. */
    sg_launcher_stop(part->launcher_fd, part->launcher_pid);
    part->launcher_fd = -1;
    sg_keyholder_process_free(part->keyholder);
    part->keyholder = NULL;
}
