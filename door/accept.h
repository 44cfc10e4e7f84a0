/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DOOR_ACCEPT_H
#define DOOR_ACCEPT_H

/* The next connection of a listening socket, or -1. `spare` is a descriptor kept for the time when
 * there are no more: it is given up to take the connection and hang up, because a listener that
 * stays readable would keep its loop busy. */
int accept_connection(int listener, int *spare);
/* -1: none was left. */
int accept_spare(void);

#endif
