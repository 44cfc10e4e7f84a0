/* SPDX-License-Identifier: Apache-2.0 */
/* The event sources of one container behind one descriptor; the public functions are in
 * container.h. */
#ifndef LIBCONTAINER_EVENTS_H
#define LIBCONTAINER_EVENTS_H

struct events;

void events_free(struct events *events);

#endif
