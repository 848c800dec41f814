/* SPDX-License-Identifier: Apache-2.0
 *
 * What each uid has of the daemon: connections, requests in flight, and processor time. An account for each,
 * shared by its connections; one that has none any more is kept while there is room, so that coming back
 * settles no debt.
 *
 * Processor time is a bucket: it fills at limits.cpu_per_uid_percent of all processors up to
 * limits.cpu_burst_ms, and work takes out what it costs. Who has anything left may begin work whatever it
 * costs; who has not is refused. A refusal costs something too, and hammering on is answered by reading no
 * more from the uid for a while.
 */
#ifndef SG_QUOTA_H
#define SG_QUOTA_H

#include <signet/status.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/config.h"
#include "server/fair_queue.h"

struct sg_quota;
struct sg_quota_account;

/* What things cost that carry no request, in microseconds. That a peer connects is cheap; that it breaks the
 * protocol, or goes without a greeting, is no accident when it happens often, and is dear. */
#define SG_QUOTA_ACCEPT_US         50u
#define SG_QUOTA_PROTOCOL_ERROR_US 50000u
/* A request that is refused: decoding it, and the answer. */
#define SG_QUOTA_REFUSAL_US 20u

/* sg_quota_new makes the accounts of one socket. Of limits, the numbers of connections and of requests in
 * flight (of a uid, 0: as of all) and the processor time are kept. num_cpus: at least 1. RESOURCE_EXHAUSTED without memory. */
signet_status sg_quota_new(const struct sg_config_limits *limits, unsigned num_cpus,
                           struct sg_quota **out) SIGNET_MUST_CHECK;
/* sg_quota_free: every account must have been left. NULL is legal. */
void sg_quota_free(struct sg_quota *quota);

/* sg_quota_set_max_connections lowers the number of connections of all, before the first. */
void sg_quota_set_max_connections(struct sg_quota *quota, uint32_t max_connections);

/* sg_quota_default_cpus is how many processors this process may use. */
unsigned sg_quota_default_cpus(void);

/* ---- Connections ---- */

/* Of max_connections and max_in_flight, one uid gets at most one more than what it leaves: about half of what
 * others have left it. So one cannot take all, and it takes many that conspire. */

enum sg_quota_entry {
    SG_QUOTA_MAY = 1,
    SG_QUOTA_TOO_MANY, /* connections: of this uid, or of all */
    SG_QUOTA_OVERDRAWN /* it is far behind with its processor time, and connects nevertheless */
};

/* sg_quota_join charges a uid for a connection and counts it. With SG_QUOTA_MAY *out is its account, valid until
 * sg_quota_leave, and nothing otherwise. now_us: CLOCK_MONOTONIC, as everywhere here. Any thread. */
enum sg_quota_entry sg_quota_join(struct sg_quota *quota, uid_t uid, uint64_t now_us,
                                  struct sg_quota_account **out) SIGNET_MUST_CHECK;
void sg_quota_leave(struct sg_quota *quota, struct sg_quota_account *account);

/* sg_quota_turns_away: whether sg_quota_join would say SG_QUOTA_OVERDRAWN, for whom there is an account already; then
 * it has been charged. Any thread. */
bool sg_quota_turns_away(struct sg_quota *quota, uid_t uid, uint64_t now_us)
    __attribute__((warn_unused_result));

uid_t sg_quota_uid(const struct sg_quota_account *account);

/* ---- Requests in flight ---- */

/* sg_quota_enter counts a request that a worker is to have. False if the uid, or the daemon, has too many; else
 * sg_quota_exit must follow. Any thread, lock-free. */
bool sg_quota_enter(struct sg_quota_account *account) __attribute__((warn_unused_result));
void sg_quota_exit(struct sg_quota_account *account);

/* ---- Processor time ---- */

/* sg_quota_charge takes cost_us out of the bucket if anything is in it. False: there is not, nothing was taken
 * but what the refusal costs, and *retry_after_ms, at least 1, says when there will be. With processor time
 * switched off (limits.cpu_per_uid_percent 0), always true. Any thread, lock-free. */
bool sg_quota_charge(struct sg_quota_account *account, uint64_t cost_us, uint64_t now_us,
                     uint32_t *retry_after_ms) __attribute__((warn_unused_result));

/* sg_quota_charge_more takes out what turned out to be spent. It refuses nothing: the next request may be. */
void sg_quota_charge_more(struct sg_quota_account *account, uint64_t cost_us, uint64_t now_us);

/* sg_quota_note_refusal charges for a request that was refused for another reason than its price. */
void sg_quota_note_refusal(struct sg_quota_account *account, uint64_t now_us);

/* sg_quota_read_again_at_us says until when nothing is to be read from the uid, which goes on sending what is
 * refused. 0, or in the past: it may be read from. Any thread, lock-free. */
uint64_t sg_quota_read_again_at_us(const struct sg_quota_account *account);

/* ---- Queues ---- */

/* What the account has in the queue of what is to be read, and in that of slow work. Guarded by the owner of
 * the queue. */
struct sg_fair_flow *sg_quota_reading(struct sg_quota_account *account);
struct sg_fair_flow *sg_quota_working(struct sg_quota_account *account);

/* ---- Stats ---- */

struct sg_quota_stats {
    uid_t uid;
    uint32_t num_connections, num_in_flight;
    uint64_t cpu_used_us; /* charged since the account was opened */
    uint64_t num_refused; /* requests, for want of processor time */
    uint64_t num_refused_connections;
};

/* sg_quota_visit shows every account, in no order, those without connections too. Any thread; visit is called
 * with a lock held that connecting takes, and must call nothing here. */
void sg_quota_visit(struct sg_quota *quota,
                    void (*visit)(void *context, const struct sg_quota_stats *stats),
                    void *context);

#endif
