// SPDX-License-Identifier: GPL-2.0-or-later
//
// io_worker FILE: has the file read by a worker of io_uring, a thread of this process that never
// leaves the kernel, and comes back from it itself every 20 ms meanwhile. Prints what was read.
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>

int main(int argc, char** argv) {
  if (argc != 2) {
    return 2;
  }
  const int file = open(argv[1], O_RDWR | O_NONBLOCK);
  const int reader = file >= 0 ? file : open(argv[1], O_RDONLY);
  // It has to wait where there is nothing to read yet.
  fcntl(reader, F_SETFL, 0);
  io_uring_params params{};
  const int ring = static_cast<int>(syscall(SYS_io_uring_setup, 1, &params));
  if (reader < 0 || ring < 0) {
    std::perror(argv[1]);
    return 1;
  }
  auto map = [&](std::size_t size, off_t what) {
    return static_cast<char*>(
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, what));
  };
  char* submissions =
      map(params.sq_off.array + params.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
  char* completions =
      map(params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe), IORING_OFF_CQ_RING);
  char* entries = map(params.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES);
  char text[512] = {};
  io_uring_sqe entry{};
  entry.opcode = IORING_OP_READ;
  entry.flags = IOSQE_ASYNC;
  entry.fd = reader;
  entry.addr = reinterpret_cast<unsigned long>(text);
  entry.len = sizeof text - 1;
  std::memcpy(entries, &entry, sizeof entry);
  // The entry and its place in the array are 0, the first ones.
  std::atomic_ref<unsigned>(*reinterpret_cast<unsigned*>(submissions + params.sq_off.tail)) = 1;
  if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, nullptr, 0) != 1) {
    std::perror("io_uring_enter");
    return 1;
  }
  std::atomic_ref<unsigned> done(*reinterpret_cast<unsigned*>(completions + params.cq_off.tail));
  while (done == 0) {
    usleep(20000);
  }
  io_uring_cqe completion{};
  std::memcpy(&completion, completions + params.cq_off.cqes, sizeof completion);
  std::printf("%d\n%s", completion.res, text);
  return completion.res > 0 ? 0 : 1;
}
