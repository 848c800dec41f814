/* SPDX-License-Identifier: Apache-2.0
 *
 * Who waits for whom when the processors are busy: quick work, which others wait for, goes before slow work, on
 * both sides of the door. Everything here takes no rights, gives no larger share of the processors, and does no
 * harm where the kernel cannot do it.
 */
#ifndef SG_KEYHOLDER_TURNS_H
#define SG_KEYHOLDER_TURNS_H

/* sg_turns_shorten asks for short turns for the calling thread and those that it starts, processes too. What the
 * daemon and the keyholder do for one request takes microseconds; a turn of another process, which a caller would
 * wait for, milliseconds. A thread that wakes for a short turn takes the processor from one that has longer ones. From
 * Linux 6.12 on. */
void sg_turns_shorten(void);

/* sg_turns_yield is for threads with slow work: long turns, and about a tenth of what others get while these want
 * anything. For the calling thread only, and not to be taken back. */
void sg_turns_yield(void);

#endif
