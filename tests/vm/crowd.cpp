// SPDX-License-Identifier: GPL-2.0-or-later
//
// crowd N FILE: N threads that read the file, sleep for up to ten seconds, and do so again. Says
// "here" once all are, and ends when it is killed.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include <pthread.h>

namespace {

const char* file;

void* read_again_and_again(void* seed) {
  std::minstd_rand random(*static_cast<unsigned*>(seed));
  std::uniform_int_distribution<useconds_t> microseconds(0, 10'000'000);
  for (;;) {
    usleep(microseconds(random));
    int fd = open(file, O_RDONLY);
    char text[512];
    if (fd < 0 || read(fd, text, sizeof text) <= 0) {
      std::perror(file);
      std::_Exit(1);
    }
    close(fd);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc == 3 ? std::atoi(argv[1]) : 0;
  if (count <= 0) {
    return 2;
  }
  file = argv[2];
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 16384);
  std::vector<unsigned> seeds(static_cast<std::size_t>(count));
  std::iota(seeds.begin(), seeds.end(), 1);
  for (unsigned& seed : seeds) {
    pthread_t thread{};
    if (pthread_create(&thread, &small, read_again_and_again, &seed) != 0) {
      std::perror("pthread_create");
      return 1;
    }
  }
  std::puts("here");
  std::fflush(stdout);
  for (;;) {
    pause();
  }
}
