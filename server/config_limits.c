/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits of the configuration.
 */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "server/config_sections.h"

#define CONFIG_MAX_WORKERS  64u
#define CONFIG_MAX_CONSUMED 10000000u
#define CONFIG_MIN_BURST_MS 10u
#define CONFIG_MAX_BURST_MS 60000u

/* As it was first seen: a processor that comes or goes is no change of the configuration. */
static uint32_t config_num_cpus(void)
{
    static _Atomic uint32_t known;
    uint32_t num = atomic_load(&known);
    if (num == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        num = online > 1 ? (uint32_t)online : 1;
        num = num > CONFIG_MAX_WORKERS ? CONFIG_MAX_WORKERS : num;
        atomic_store(&known, num);
    }
    return num;
}

static struct sg_config_limits config_default_limits(void)
{
    return (struct sg_config_limits){
        .max_connections = 4096,
        .max_connections_per_uid = 2048,
        .max_in_flight = 1024,
        .max_in_flight_per_connection = 64,
        .max_in_flight_per_uid = 512,
        .max_buffer_mib = 64,
        .max_cached_macs = 4096,
        .idle_timeout_s = 0,
        .workers = config_num_cpus(),
        .cpu_per_uid_percent = 50,
        .cpu_burst_ms = 1000,
        .consumed_per_uid = 100000,
    };
}

/* A part may not be more than its whole: a default is lowered, a number of the file is refused. */
static void config_fit(struct sg_config_check *check, const char *part_name, const char *part_text,
                       uint32_t *part, const char *whole_name, uint32_t whole)
{
    if (*part <= whole) {
        return;
    }
    if (part_text != NULL) {
        sg_config_complain(check, (struct sg_config_key){"limits", part_name},
                           "%u is more than %s; expected at most %u", *part, whole_name, whole);
        return;
    }
    *part = whole;
}

/* "50%", or "off". */
static void config_read_share(struct sg_config_check *check, const char *text, uint32_t *out)
{
    uint64_t percent = 0;
    const char *unit = "";
    if (text == NULL) {
        return;
    }
    if (strcmp(text, SG_CONFIG_OFF) == 0) {
        *out = 0;
        return;
    }
    if (!sg_config_parse_number(text, &percent, &unit) || strcmp(unit, "%") != 0 || percent < 1 ||
        percent > 100) {
        sg_config_complain(check, (struct sg_config_key){"limits", "cpu_per_uid"},
                           "\"%.64s\" is not good; expected 1%% to 100%%, which is all processors, "
                           "or " SG_CONFIG_OFF,
                           text);
        return;
    }
    *out = (uint32_t)percent;
}

/* The one time that is in milliseconds: "250ms", or a duration as all others. */
static void config_read_burst(struct sg_config_check *check, const char *text, uint32_t *out)
{
    uint64_t value = 0;
    const char *unit = "";
    if (text == NULL) {
        return;
    }
    bool is_good = sg_config_parse_number(text, &value, &unit);
    if (is_good && strcmp(unit, "ms") != 0) {
        is_good = sg_config_parse_duration(text, &value);
        value *= 1000;
    }
    if (!is_good || value < CONFIG_MIN_BURST_MS || value > CONFIG_MAX_BURST_MS) {
        sg_config_complain(check, (struct sg_config_key){"limits", "cpu_burst"},
                           "\"%.64s\" is not good; expected %ums to %us, such as 1000ms", text,
                           CONFIG_MIN_BURST_MS, CONFIG_MAX_BURST_MS / 1000);
        return;
    }
    *out = (uint32_t)value;
}

void sg_config_read_limits(struct sg_config_check *check, const struct sg_config_text_limits *text,
                           struct sg_config_limits *limits)
{
    *limits = config_default_limits();
    const struct {
        const char *name, *text;
        uint32_t min, max;
        uint32_t *out;
    } numbers[] = {
        {"max_connections", text->max_connections, 1, 65536, &limits->max_connections},
        {"max_connections_per_uid", text->max_connections_per_uid, 1, 65536,
         &limits->max_connections_per_uid},
        {"max_in_flight", text->max_in_flight, 1, 65536, &limits->max_in_flight},
        {"max_in_flight_per_connection", text->max_in_flight_per_connection, 1, 4096,
         &limits->max_in_flight_per_connection},
        {"max_in_flight_per_uid", text->max_in_flight_per_uid, 1, 65536,
         &limits->max_in_flight_per_uid},
        {"max_buffer_mib", text->max_buffer_mib, 8, 4096, &limits->max_buffer_mib},
        {"max_cached_macs", text->max_cached_macs, 0, 65536, &limits->max_cached_macs},
        {"workers", text->workers, 1, CONFIG_MAX_WORKERS, &limits->workers},
        {"consumed_per_uid", text->consumed_per_uid, 1, CONFIG_MAX_CONSUMED,
         &limits->consumed_per_uid},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        sg_config_read_number(check, (struct sg_config_key){"limits", numbers[i].name},
                              numbers[i].text, numbers[i].min, numbers[i].max, numbers[i].out);
    }
    sg_config_read_duration(check, (struct sg_config_key){"limits", "idle_timeout"},
                            text->idle_timeout, 0, 7 * 86400, &limits->idle_timeout_s);
    config_fit(check, "max_connections_per_uid", text->max_connections_per_uid,
               &limits->max_connections_per_uid, "max_connections", limits->max_connections);
    config_fit(check, "max_in_flight_per_connection", text->max_in_flight_per_connection,
               &limits->max_in_flight_per_connection, "max_in_flight", limits->max_in_flight);
    config_fit(check, "max_in_flight_per_uid", text->max_in_flight_per_uid,
               &limits->max_in_flight_per_uid, "max_in_flight", limits->max_in_flight);
    config_read_share(check, text->cpu_per_uid, &limits->cpu_per_uid_percent);
    config_read_burst(check, text->cpu_burst, &limits->cpu_burst_ms);
}
