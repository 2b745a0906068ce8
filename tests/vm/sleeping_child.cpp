// SPDX-License-Identifier: GPL-2.0-or-later
//
// sleeping_child: a parent with a child that sleeps in reading from a pipe. Says "child PID", and
// then whatever the parent is told of it: "stopped", "continued", "ended".
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

int main() {
  int ends[2];
  if (pipe(ends) != 0) {
    return 1;
  }
  const pid_t child = fork();
  if (child == 0) {
    char byte = 0;
    return read(ends[0], &byte, 1) == 1 ? 0 : 1;
  }
  std::printf("child %d\n", child);
  for (siginfo_t about{}; about.si_code != CLD_EXITED && about.si_code != CLD_KILLED;) {
    std::fflush(stdout);
    if (waitid(P_PID, static_cast<id_t>(child), &about, WEXITED | WSTOPPED | WCONTINUED) != 0) {
      return 1;
    }
    std::puts(about.si_code == CLD_STOPPED     ? "stopped"
              : about.si_code == CLD_CONTINUED ? "continued"
                                               : "ended");
  }
  return 0;
}
