/* SPDX-License-Identifier: Apache-2.0
 *
 * Making what holds peers to account.
 */
#include "server/daemon_policy.h"

#include <stdio.h>
#include <time.h>

#include "server/audit.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/consumed.h"
#include "server/fuse.h"
#include "server/keymaster.h"
#include "server/log.h"
#include "server/publisher.h"
#include "server/revocations.h"

#define POLICY_MAX_ERROR 512u

/* ---- The audit ---- */

static int64_t policy_read_wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool policy_start_audit(struct sg_daemon_policy *part, const struct sg_config *config,
                               struct sg_keyholder *keyholder)
{
    char error[SG_AUDIT_MAX_ERROR] = "";
    if (config->audit.dir == NULL) {
        return true;
    }
    part->head = (struct sg_audit_head){
        .keyrings = sg_keymaster_keyrings(part->keymaster),
        .keyholder = keyholder,
        .read_wall_s = sg_clock_wall_s,
    };
    (void)snprintf(part->head.path, sizeof(part->head.path), "%s/" SG_AUDIT_HEADS_FILE,
                   config->audit.dir);
    const struct sg_audit_options options = {
        .config = &config->audit,
        .read_mono_ms = sg_clock_mono_ms,
        .read_wall_ms = policy_read_wall_ms,
        .sign_head = sg_audit_head_sign,
        .context = &part->head,
    };
    if (sg_audit_new(&options, &part->audit, error) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s", error);
        return false;
    }
    return true;
}

/* ---- The ceilings of grants ---- */

/* A freeze that cannot be stored holds until the daemon ends. */
static void policy_on_freeze(void *context, const char *grant, int64_t since)
{
    const struct sg_daemon_policy *part = context;
    char error[POLICY_MAX_ERROR] = "";
    sg_log(
        SG_LOG_WARNING,
        "grant %s is frozen: more of its tokens are alive than its max_live_tokens; it verifies, and "
        "signs again after: signet policy thaw %s",
        grant, grant);
    if (sg_keymaster_freeze(part->keymaster, grant, since, error, sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s; after a restart grant %s would not be frozen", error, grant);
    }
    const struct sg_audit_event event = {
        .event = "freeze",
        .rule = grant,
        .verdict = SG_AUDIT_OK,
        .reason = "MAX_LIVE_TOKENS",
    };
    sg_audit_note(part->audit, &event);
}

static signet_status policy_on_thaw(void *context, const char *grant)
{
    const struct sg_daemon_policy *part = context;
    char error[POLICY_MAX_ERROR] = "";
    signet_status status = sg_keymaster_thaw(part->keymaster, grant, error, sizeof(error));
    if (status != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s; grant %s stays frozen", error, grant);
    } else {
        sg_log(SG_LOG_INFO, "grant %s signs again", grant);
    }
    return status;
}

static void policy_restore(void *context, const char *grant, int64_t since)
{
    const struct sg_daemon_policy *part = context;
    if (sg_fuse_restore(part->fuse, grant, since) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "no memory to keep grant %s frozen", grant);
    } else {
        sg_log(SG_LOG_WARNING, "grant %s is frozen since before this start: signet policy thaw %s",
               grant, grant);
    }
}

static bool policy_start_fuse(struct sg_daemon_policy *part)
{
    char error[POLICY_MAX_ERROR] = "";
    const struct sg_fuse_events events = {
        .context = part, .on_freeze = policy_on_freeze, .on_thaw = policy_on_thaw};
    if (sg_fuse_new(&events, &part->fuse) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "no memory");
        return false;
    }
    if (sg_keymaster_visit_frozen(part->keymaster, policy_restore, part, error, sizeof(error)) !=
        SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s", error);
        return false;
    }
    return true;
}

/* ---- What is revoked, and the trust board ---- */

static bool policy_start_revocations(struct sg_daemon_policy *part, const struct sg_config *config)
{
    char error[POLICY_MAX_ERROR] = "";
    if (sg_publisher_new(config->runtime_dir, sg_clock_wall_s, &part->publisher, error,
                         sizeof(error)) != SIGNET_OK ||
        sg_revocations_new(sg_keymaster_store(part->keymaster),
                           sg_publisher_writer(part->publisher), sg_clock_wall_s,
                           &part->revocations, error, sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s", error);
        return false;
    }
    return true;
}

static void policy_show(void *context, struct sg_keyring *keyring)
{
    sg_publisher_show(context, keyring);
}

/* Once all is on it that is remembered. */
static bool policy_start_board(struct sg_daemon_policy *part)
{
    if (sg_publisher_start(part->publisher) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "the thread of the trust board does not start");
        return false;
    }
    sg_keymaster_on_snapshot(part->keymaster, policy_show, part->publisher);
    return true;
}

/* ---- What is used up ---- */

static bool policy_start_consumed(struct sg_daemon_policy *part, const struct sg_config *config)
{
    char error[POLICY_MAX_ERROR] = "";
    if (sg_consumed_new(sg_keymaster_store(part->keymaster), config->limits.consumed_per_uid,
                        sg_clock_wall_s, &part->consumed, error, sizeof(error)) != SIGNET_OK) {
        sg_log(SG_LOG_ERROR, "%s", error);
        return false;
    }
    return true;
}

/* ---- All of it ---- */

bool sg_daemon_policy_start(struct sg_daemon_policy *part, const struct sg_config *config,
                            struct sg_keymaster *keymaster, struct sg_keyholder *keyholder)
{
    part->keymaster = keymaster;
    return policy_start_audit(part, config, keyholder) && policy_start_fuse(part) &&
           policy_start_revocations(part, config) && policy_start_board(part) &&
           policy_start_consumed(part, config);
}

void sg_daemon_policy_note(const struct sg_daemon_policy *part, const char *event,
                           const char *verdict, const char *detail)
{
    const struct sg_audit_event record = {.event = event, .verdict = verdict, .detail = detail};
    sg_audit_note(part->audit, &record);
}

void sg_daemon_policy_stop(struct sg_daemon_policy *part)
{
    if (part->publisher != NULL) {
        sg_keymaster_on_snapshot(part->keymaster, NULL, NULL);
    }
    sg_publisher_free(part->publisher);
    sg_consumed_free(part->consumed);
    sg_revocations_free(part->revocations);
    sg_fuse_free(part->fuse);
    sg_audit_free(part->audit);
}
