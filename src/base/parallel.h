// SPDX-License-Identifier: GPL-2.0-or-later
//
// The same thing done to many, on all processors.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace suture {

// Calls work(i) for each i below `count`, as many at a time as there are processors.
template <class Work>
void parallel_for(std::size_t count, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::size_t width =
      std::min<std::size_t>(count, std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < width; ++i) {
    threads.emplace_back([&] {
      for (std::size_t k = next++; k < count; k = next++) {
        work(k);
      }
    });
  }
}

}  // namespace suture
