/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread that lets the keymaster do what is due, once a second.
 */
#ifndef SG_TIMEKEEPER_H
#define SG_TIMEKEEPER_H

#include <signet/status.h>

struct sg_keymaster;
struct sg_timekeeper;

signet_status sg_timekeeper_new(struct sg_keymaster *keymaster,
                                struct sg_timekeeper **out) SIGNET_MUST_CHECK;
/* sg_timekeeper_free ends the thread, waiting for what it is at; NULL is legal. */
void sg_timekeeper_free(struct sg_timekeeper *timekeeper);

#endif
