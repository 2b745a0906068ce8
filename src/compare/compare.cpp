// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: say what each consistency model costs, so that it can be compared with the others.
// Method: one machine, one change, one load. Threads pass bytes through pipes, so that the changed
// function is busy; others sleep elsewhere. A thread of high priority, pinned to the last CPU,
// wakes every 200 microseconds and notes how late it was. Each way is tried several times; then
// once with a reader that sleeps inside the changed function. "nothing" is the same measurement
// without a patch: how late the thread wakes anyway. Invariant: no way begins before the patch of
// the one before it is gone.
#include "compare/compare.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <ctime>
#include <thread>

#include "base/json.h"
#include "base/process.h"
#include "live/load.h"
#include "machine/tasks.h"

namespace suture::compare {

namespace {

constexpr long wake_every_ns = 200'000;
constexpr std::array marks{1.0, 10.0, 60.0};
constexpr unsigned passing_threads = 2;
constexpr unsigned sleeping_threads = 200;
constexpr std::string_view line_mark = "compared ";

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

void pause_seconds(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

// How late a pinned thread of high priority wakes.
class Lateness {
 public:
  Lateness() : thread_([this](const std::stop_token& stop) { run(stop); }) {}
  void reset() { worst_ns_ = 0; }
  double worst() const { return static_cast<double>(worst_ns_.load()) * 1e-9; }

 private:
  void run(const std::stop_token& stop) {
    cpu_set_t last;
    CPU_ZERO(&last);
    CPU_SET(std::max(1U, std::thread::hardware_concurrency()) - 1, &last);
    pthread_setaffinity_np(pthread_self(), sizeof(last), &last);
    const sched_param high{.sched_priority = 90};
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &high);
    timespec next{};
    ::clock_gettime(CLOCK_MONOTONIC, &next);
    while (!stop.stop_requested()) {
      next.tv_nsec += wake_every_ns;
      if (next.tv_nsec >= 1'000'000'000) {
        next.tv_nsec -= 1'000'000'000;
        ++next.tv_sec;
      }
      ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
      timespec now{};
      ::clock_gettime(CLOCK_MONOTONIC, &now);
      const long late = (now.tv_sec - next.tv_sec) * 1'000'000'000L + (now.tv_nsec - next.tv_nsec);
      worst_ns_ = std::max(worst_ns_.load(), late);
      if (late > wake_every_ns) {
        next = now;  // one pause counts once
      }
    }
  }

  std::atomic<long> worst_ns_ = 0;
  std::jthread thread_;
};

// Threads that pass bytes through pipes of their own, and threads that sleep.
class Load {
 public:
  Load() {
    for (unsigned i = 0; i < passing_threads; ++i) {
      threads_.emplace_back([](const std::stop_token& stop) {
        int ends[2];
        if (::pipe(ends) != 0) {
          return;
        }
        char byte = 0;
        while (!stop.stop_requested() && ::write(ends[1], &byte, 1) == 1 &&
               ::read(ends[0], &byte, 1) == 1) {
        }
        ::close(ends[0]);
        ::close(ends[1]);
      });
    }
    for (unsigned i = 0; i < sleeping_threads; ++i) {
      threads_.emplace_back([](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          pause_seconds(0.5);
        }
      });
    }
  }

 private:
  std::vector<std::jthread> threads_;
};

// A process that sleeps in reading from a pipe, until it is let go.
class SleepingReader {
 public:
  static Result<SleepingReader> start() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      return fail_errno(errno, "pipe", "create");
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(ends[1]);
      char byte = 0;
      _exit(::read(ends[0], &byte, 1) == 1 ? 0 : 1);
    }
    ::close(ends[0]);
    if (pid < 0) {
      const int err = errno;
      ::close(ends[1]);
      return fail_errno(err, "sleeping reader", "start");
    }
    pause_seconds(0.3);
    return SleepingReader(pid, ends[1]);
  }
  SleepingReader(SleepingReader&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), write_end_(std::exchange(other.write_end_, -1)) {}
  SleepingReader& operator=(SleepingReader&&) = delete;
  ~SleepingReader() { let_go(); }

  void let_go() {
    if (pid_ > 0) {
      ::close(write_end_);
      ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    }
  }

 private:
  SleepingReader(pid_t pid, int write_end) : pid_(pid), write_end_(write_end) {}
  pid_t pid_;
  int write_end_;
};

struct Way {
  std::string name;
  fs::path module;
  std::string model;  // empty: the kernel's livepatch
};

live::LoadOptions patiently(const Way& way, double deadline) {
  live::LoadOptions options{.patience = {.deadline = deadline}, .revert = false};
  options.model = way.model;
  return options;
}

std::size_t count_left(const machine::Machine& machine, const std::string& name) {
  auto patch = machine::find_patch(machine, name);
  return patch && *patch && (*patch)->transition ? machine::count_blocking(machine, **patch) : 0;
}

class Comparison {
 public:
  Comparison(const machine::Machine& machine, unsigned rounds)
      : machine_(machine), rounds_(rounds) {}

  ComparedWay nothing() {
    std::vector<double> pauses;
    const Load load;
    for (unsigned round = 0; round < rounds_; ++round) {
      lateness_.reset();
      pause_seconds(0.5);
      pauses.push_back(lateness_.worst());
    }
    return ComparedWay{
        .name = "nothing", .pause = median(pauses), .worst_pause = std::ranges::max(pauses)};
  }

  Result<ComparedWay> run(const Way& way) {
    ComparedWay out{.name = way.name};
    TRY(under_load(way, out));
    TRY(with_sleeper(way, out));
    return out;
  }

 private:
  Status under_load(const Way& way, ComparedWay& out) {
    std::vector<double> pauses, transitions;
    const Load load;
    pause_seconds(0.3);
    for (unsigned round = 0; round < rounds_; ++round) {
      lateness_.reset();
      const live::LoadOutcome loaded = TRY(live::load(machine_, way.module, patiently(way, 120)));
      pauses.push_back(lateness_.worst());
      transitions.push_back(loaded.transition_seconds);
      TRY(live::unload(machine_, loaded.name, live::LoadOptions{.patience = {.deadline = 120}}));
    }
    out.pause = median(pauses);
    out.worst_pause = std::ranges::max(pauses);
    out.transition = median(transitions);
    out.worst_transition = std::ranges::max(transitions);
    return {};
  }

  Status with_sleeper(const Way& way, ComparedWay& out) {
    SleepingReader reader = TRY(SleepingReader::start());
    const std::string name = way.module.stem().string();
    std::optional<Result<live::LoadOutcome>> loaded;
    std::atomic<bool> over = false;
    const double start = now_seconds();
    std::jthread loader([&] {
      loaded = live::load(machine_, way.module, patiently(way, marks.back() + 60));
      over = true;
    });
    for (const double mark : marks) {
      while (!over && now_seconds() - start < mark) {
        pause_seconds(0.02);
      }
      out.left.push_back({.seconds = mark, .tasks = over ? 0 : count_left(machine_, name)});
    }
    const double waited = now_seconds() - start;
    reader.let_go();
    loader.join();
    if (!*loaded) {
      out.refusal = loaded->error().reason;
      out.refused_after = waited;
      out.left.clear();
      return {};
    }
    TRY(live::unload(machine_, name, live::LoadOptions{.patience = {.deadline = 120}}));
    return {};
  }

  const machine::Machine& machine_;
  unsigned rounds_;
  Lateness lateness_;
};

}  // namespace

Result<std::vector<ComparedWay>> compare_ways(const machine::Machine& machine,
                                              const ComparedModules& modules, unsigned rounds) {
  std::vector<Way> ways;
  for (const char* model : {"stop", "lazy", "hybrid"}) {
    ways.push_back({.name = model, .module = modules.suture, .model = model});
  }
  if (!modules.livepatch.empty()) {
    ways.push_back({.name = "livepatch", .module = modules.livepatch, .model = ""});
  }
  Comparison comparison(machine, rounds);
  std::vector<ComparedWay> out{comparison.nothing()};
  for (const Way& way : ways) {
    out.push_back(TRY(comparison.run(way)));
  }
  return out;
}

std::string to_line(const std::vector<ComparedWay>& ways) {
  Json all = Json::array();
  for (const ComparedWay& way : ways) {
    Json left = Json::array();
    for (const Laggards& laggards : way.left) {
      left.push_back({{"seconds", laggards.seconds}, {"tasks", laggards.tasks}});
    }
    all.push_back({{"name", way.name},
                   {"pause", way.pause},
                   {"worst_pause", way.worst_pause},
                   {"transition", way.transition},
                   {"worst_transition", way.worst_transition},
                   {"left", left},
                   {"refusal", way.refusal},
                   {"refused_after", way.refused_after}});
  }
  return fmt::format("{}{}\n", line_mark, all.line());
}

std::optional<std::vector<ComparedWay>> parse_ways(std::string_view line) {
  if (!line.starts_with(line_mark)) {
    return std::nullopt;
  }
  const auto all = Json::parse(line.substr(line_mark.size()));
  if (!all || !all->is_array()) {
    return std::nullopt;
  }
  std::vector<ComparedWay> out;
  for (const Json& it : all->items()) {
    JsonReader entry(it);
    ComparedWay way{.name = entry.text("name"),
                    .pause = entry.number("pause"),
                    .worst_pause = entry.number("worst_pause"),
                    .transition = entry.number("transition"),
                    .worst_transition = entry.number("worst_transition"),
                    .refusal = entry.text("refusal"),
                    .refused_after = entry.number("refused_after")};
    bool whole = true;
    for (const Json& left : entry.items("left")) {
      JsonReader laggards(left);
      way.left.push_back({.seconds = laggards.number("seconds"),
                          .tasks = static_cast<std::size_t>(laggards.integer("tasks"))});
      whole = whole && laggards.whole();
    }
    if (!whole || !entry.whole()) {
      return std::nullopt;
    }
    out.push_back(std::move(way));
  }
  return out;
}

}  // namespace suture::compare
