/* SPDX-License-Identifier: Apache-2.0
 *
 * Another configuration while the daemon runs: read, checked as a whole, and put in force as a whole or
 * not at all.
 */
#ifndef SG_RELOAD_H
#define SG_RELOAD_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sg_config;
struct sg_keymaster;
struct sg_options;
struct sg_reloader;

#define SG_RELOAD_MAX_PROBLEMS 4096u

struct sg_reload_report {
    bool applied;
    uint32_t num_keysets, num_issuers;
    char problems[SG_RELOAD_MAX_PROBLEMS]; /* not applied: why, one line for each fault */
    /* applied: what is wrong with foreign issuers, and what sg_grants_warn says, likewise */
    char warnings[SG_RELOAD_MAX_PROBLEMS];
};

/* sg_reloader_new reads what the options name. options, config and keymaster must outlive it; config is
 * what is in force. */
signet_status sg_reloader_new(const struct sg_options *options, const struct sg_config *config,
                              struct sg_keymaster *keymaster,
                              struct sg_reloader **out) SIGNET_MUST_CHECK;
/* Frees the configuration of the last reload too: after the keymaster's end. NULL is legal. */
void sg_reloader_free(struct sg_reloader *reloader);

/* sg_reloader_on_applied has applied called with each configuration that comes in force, while no other can; before
 * the first reload. */
void sg_reloader_on_applied(struct sg_reloader *reloader,
                            void (*applied)(void *context, const struct sg_config *config),
                            void *context);

/* sg_reloader_run reloads, and logs the outcome. Any thread, one after the other. Blocks for files and
 * for making the first keys of new keysets. */
void sg_reloader_run(struct sg_reloader *reloader, struct sg_reload_report *report);

/* sg_reloader_describe_grants is sg_grants_describe of the configuration in force. Any thread; waits for a reload
 * that is under way. */
void sg_reloader_describe_grants(struct sg_reloader *reloader,
                                 void (*line)(void *context, const char *text), void *context);

#endif
