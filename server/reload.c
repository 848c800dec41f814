/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the configuration again. The keymaster puts it in force; this decides whether it may.
 */
#include "server/reload.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/grant_text.h"
#include "server/keymaster.h"
#include "server/log.h"
#include "server/options.h"

struct sg_reloader {
    const struct sg_options *options;
    struct sg_keymaster *keymaster;
    pthread_mutex_t mutex;
    /* Guarded by mutex. */
    const struct sg_config *config; /* in force */
    struct sg_config *owned;        /* the same, unless it is that of the start */
    void (*applied)(void *context, const struct sg_config *config); /* NULL: nobody asks */
    void *applied_context;
};

signet_status sg_reloader_new(const struct sg_options *options, const struct sg_config *config,
                              struct sg_keymaster *keymaster, struct sg_reloader **out)
{
    struct sg_reloader *reloader = calloc(1, sizeof(*reloader));
    if (reloader == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    reloader->options = options;
    reloader->keymaster = keymaster;
    reloader->config = config;
    /* Cannot fail on Linux with default attributes. */
    (void)pthread_mutex_init(&reloader->mutex, NULL);
    *out = reloader;
    return SIGNET_OK;
}

void sg_reloader_on_applied(struct sg_reloader *reloader,
                            void (*applied)(void *context, const struct sg_config *config),
                            void *context)
{
    reloader->applied = applied;
    reloader->applied_context = context;
}

void sg_reloader_free(struct sg_reloader *reloader)
{
    if (reloader == NULL) {
        return;
    }
    sg_config_free(reloader->owned);
    (void)pthread_mutex_destroy(&reloader->mutex);
    free(reloader);
}

static signet_status reload_read(const struct sg_reloader *reloader, struct sg_config **out,
                                 char *error, size_t error_cap)
{
    const struct sg_options *options = reloader->options;
    struct sg_config *config = NULL;
    if (options->is_dev) {
        (void)snprintf(error, error_cap, "--dev runs without a configuration");
        return SIGNET_FAILED_PRECONDITION;
    }
    signet_status status = sg_config_load(options->config_file, &config, error, error_cap);
    if (status == SIGNET_OK) {
        status = sg_config_override(config, options->runtime_dir, options->user, error, error_cap);
    }
    const char *difference =
        status == SIGNET_OK ? sg_config_difference(reloader->config, config) : NULL;
    if (difference != NULL) {
        (void)snprintf(error, error_cap,
                       "%s: %s was changed, which takes a restart; put it back, or restart signetd",
                       options->config_file, difference);
        status = SIGNET_FAILED_PRECONDITION;
    }
    if (status != SIGNET_OK) {
        sg_config_free(config);
        return status;
    }
    *out = config;
    return SIGNET_OK;
}

static void reload_log_lines(const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        sg_log(SG_LOG_ERROR, "%.*s", (int)len, text);
        text += len + (text[len] == '\n' ? 1 : 0);
    }
}

/* What does not fit is in the log. */
static void reload_warn(void *context, const char *line)
{
    struct sg_reload_report *report = context;
    size_t used = strlen(report->warnings);
    (void)snprintf(report->warnings + used, sizeof(report->warnings) - used, "%s%s",
                   used > 0 ? "\n" : "", line);
}

struct reload_warner {
    const struct sg_reloader *reloader;
    struct sg_reload_report *report;
};

static void reload_warn_of_grant(void *context, const char *text)
{
    const struct reload_warner *warner = context;
    sg_log(SG_LOG_WARNING, "%s: %s", warner->reloader->options->config_file, text);
    reload_warn(warner->report, text);
}

static void reload_count(struct sg_reloader *reloader, struct sg_reload_report *report)
{
    struct sg_keyring *keyring = sg_keyring_holder_get(sg_keymaster_keyrings(reloader->keymaster));
    report->num_keysets = (uint32_t)reloader->config->num_keysets;
    report->num_issuers = (uint32_t)sg_keyring_num_foreign(keyring);
    sg_keyring_unref(keyring);
}

void sg_reloader_describe_grants(struct sg_reloader *reloader,
                                 void (*line)(void *context, const char *text), void *context)
{
    (void)pthread_mutex_lock(&reloader->mutex);
    sg_grants_describe(reloader->config, line, context);
    (void)pthread_mutex_unlock(&reloader->mutex);
}

void sg_reloader_run(struct sg_reloader *reloader, struct sg_reload_report *report)
{
    struct sg_config *fresh = NULL;
    *report = (struct sg_reload_report){0};
    (void)pthread_mutex_lock(&reloader->mutex);
    signet_status status =
        reload_read(reloader, &fresh, report->problems, sizeof(report->problems));
    if (status == SIGNET_OK) {
        status = sg_keymaster_reload(reloader->keymaster, fresh, report->problems,
                                     sizeof(report->problems));
    }
    if (status == SIGNET_OK) {
        sg_config_free(reloader->owned);
        reloader->owned = fresh;
        reloader->config = fresh;
        report->applied = true;
        if (reloader->applied != NULL) {
            reloader->applied(reloader->applied_context, fresh);
        }
        report->problems[0] = '\0';
        reload_count(reloader, report);
        sg_keymaster_visit_faults(reloader->keymaster, reload_warn, report);
        struct reload_warner warner = {reloader, report};
        sg_grants_warn(fresh, reload_warn_of_grant, &warner);
        sg_log(SG_LOG_INFO, "reloaded %s: %u keysets, %u foreign issuers",
               reloader->options->config_file, report->num_keysets, report->num_issuers);
    } else {
        sg_config_free(fresh);
        reload_log_lines(report->problems);
        sg_log(SG_LOG_ERROR, "not reloaded; the configuration from before is in force");
    }
    (void)pthread_mutex_unlock(&reloader->mutex);
}
