// SPDX-License-Identifier: GPL-2.0-or-later
//
// sleeping_threads N: N threads that sleep, each in reading from a pipe. Says "asleep" once they
// do, and ends when it is killed.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include <pthread.h>

namespace {

int ends[2];

void* sleep_in_kernel(void*) {
  char byte = 0;
  return read(ends[0], &byte, 1) == 1 ? nullptr : &ends;
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc == 2 ? std::atoi(argv[1]) : 0;
  if (count <= 0 || pipe(ends) != 0) {
    return 2;
  }
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 16384);
  for (int i = 0; i < count; ++i) {
    pthread_t thread{};
    if (pthread_create(&thread, &small, sleep_in_kernel, nullptr) != 0) {
      std::perror("pthread_create");
      return 1;
    }
  }
  usleep(500000);
  std::puts("asleep");
  std::fflush(stdout);
  pause();
}
