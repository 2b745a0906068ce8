// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: carry out a test in a machine that may die at any moment, so that the host knows how far
// it came and why it stopped.
// Method: process 1 first waits for the files of the trial: it may be saved then, and go on from
// there for one trial after another. Every phase is announced before it begins and reported when it
// ends; the kernel's log goes out record by record from a thread of its own, which also says
// "alive" when nothing else happens. Load and unload are the very functions that `suture load` and
// `suture unload` call.
//
// Invariant: `end` is sent after the last log record; a host that did not see it knows that the
// guest died in the phase announced last.
#include "guest/guest_init.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <mutex>
#include <ranges>
#include <thread>

#include "base/process.h"
#include "guest/background_script.h"
#include "guest/guest_plan.h"
#include "guest/shared_memory.h"
#include "live/core_module.h"
#include "live/load.h"
#include "machine/kernel_log.h"

namespace suture::guest {

namespace {

constexpr double alive_every = 5;
constexpr useconds_t ready_every = 20'000;  // microseconds

class Answers {
 public:
  explicit Answers(const std::string& device)
      : fd_(::open(device.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC)) {
    termios settings{};
    if (::tcgetattr(fd_, &settings) == 0) {
      ::cfmakeraw(&settings);
      ::cfsetspeed(&settings, B115200);
      ::tcsetattr(fd_, TCSANOW, &settings);
    }
  }

  void send(const Event& event) {
    const std::string line = to_line(event);
    std::lock_guard lock(mutex_);
    last_ = now_seconds();
    for (std::size_t done = 0; done < line.size();) {
      ssize_t put = ::write(fd_, line.data() + done, line.size() - done);
      if (put <= 0 && errno != EINTR) {
        return;  // nobody to tell: the host sees the silence
      }
      done += put > 0 ? static_cast<std::size_t>(put) : 0;
    }
  }

  void send_if_silent() {
    bool silent = false;
    {
      std::lock_guard lock(mutex_);
      silent = now_seconds() - last_ >= alive_every;
    }
    if (silent) {
      send(Event{.kind = EventKind::alive});
    }
  }

  void drain() { ::tcdrain(fd_); }

 private:
  int fd_;
  std::mutex mutex_;
  double last_ = 0;
};

// Sends the kernel's log from the first record on, until stopped and drained.
class LogForwarder {
 public:
  LogForwarder(Answers& answers, const machine::Machine& machine)
      : answers_(answers), thread_([this, device = machine.log] { run(device); }) {}
  LogForwarder(const LogForwarder&) = delete;
  LogForwarder& operator=(const LogForwarder&) = delete;
  ~LogForwarder() {
    stop_ = true;
    thread_.join();
  }

 private:
  void run(const fs::path& device) {
    auto log = machine::LogReader::open(device, machine::LogReader::From::oldest);
    if (!log) {
      answers_.send(Event{.kind = EventKind::log_lost});
      return;
    }
    for (;;) {
      const bool last_look = stop_;
      while (auto record = log->next()) {
        answers_.send(Event{.kind = EventKind::log,
                            .from_kernel = record->from_kernel,
                            .level = record->level,
                            .seconds = static_cast<double>(record->microseconds) * 1e-6,
                            .text = std::move(record->text)});
      }
      if (last_look) {
        break;
      }
      pollfd more{log->descriptor(), POLLIN, 0};
      ::poll(&more, 1, 200);
      answers_.send_if_silent();
    }
    if (log->lost()) {
      answers_.send(Event{.kind = EventKind::log_lost});
    }
  }

  Answers& answers_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

std::string text_of(const Error& error) {
  return error.where.empty() ? error.reason : fmt::format("{}: {}", error.where, error.reason);
}

class Run {
 public:
  Run(GuestPlan plan, Answers& answers, const machine::Machine& machine)
      : plan_(std::move(plan)), answers_(answers), machine_(machine) {}

  void all() {
    if (!plan_.core.empty() && !phase(std::string(core_phase), [&]() -> Result<double> {
          const double start = now_seconds();
          TRY(live::insert_core(machine_, plan_.core));
          return now_seconds() - start;
        })) {
      return;
    }
    if (plan_.patches.empty()) {
      script("alone");
    } else if (all_patches() && !plan_.core.empty() && !core_stays_) {
      patch_ = {};
      phase(std::string(core_gone_phase), [&]() -> Result<double> {
        TRY(live::remove_core(machine_));
        return 0;
      });
    }
  }

 private:
  // A patch that fails and can be taken out does not keep the next one from its trial. True where
  // each is out.
  bool all_patches() {
    for (const PlannedPatch& patch : plan_.patches) {
      patch_ = patch;
      ok_ = true;
      one_patch();
      if (!ok_ && !take_out()) {
        return false;
      }
    }
    return true;
  }

  void one_patch() {
    if (!modules_after() && !insert_modules(std::string(modules_phase))) {
      return;
    }
    script("before");
    if (ok_) {
      start_load();
    }
    stays_ = false;
    for (round_ = 1; ok_ && !stays_ && round_ <= plan_.rounds; ++round_) {
      one_round();
    }
    round_ = 0;
    end_load();
  }

  // Whatever state the patch was left in.
  bool take_out() {
    auto left = machine::find_patch(machine_, patch_.name);
    if (left && !*left && (stays_ || !machine::module_loaded(machine_, patch_.name))) {
      return true;
    }
    return phase("take-out", [&]() -> Result<double> {
      return TRY(live::unload(machine_, patch_.name, options())).transition_seconds;
    });
  }

  bool modules_after() const { return plan_.module_order == ModuleOrder::after; }

  void one_round() {
    if (!phase("load", [&]() -> Result<double> {
          live::LoadOptions wanted = options();
          wanted.model = plan_.model;
          loaded_ = TRY(live::load(machine_, patch_.file, wanted));
          TRY(check_patched());
          return loaded_.transition_seconds;
        })) {
      return;
    }
    if (modules_after() && !insert_modules("late-modules")) {
      return;
    }
    script("patched");
    if (!phase("unload", [&]() -> Result<double> {
          const live::LoadOutcome outcome = TRY(live::unload(machine_, patch_.name, options()));
          stays_ = !outcome.staying.empty();
          core_stays_ = core_stays_ || stays_;
          return outcome.transition_seconds;
        })) {
      return;
    }
    script("reverted");
    // What others may still use stays in memory, switched off.
    phase(stays_ ? "stays" : "gone", [&]() -> Result<double> { return check_gone(); });
    if (modules_after() && round_ < plan_.rounds) {
      remove_modules();
    }
  }

  live::LoadOptions options() const {
    return {.patience = {.deadline = plan_.transition_timeout}, .revert = false};
  }

  // Announces and reports a phase. `body` gives the seconds that count, or why it failed.
  bool phase(const std::string& name, const std::function<Result<double>()>& body) {
    mark_log(name);
    answers_.send(Event{.kind = EventKind::started, .patch = patch_.name, .phase = name});
    loaded_ = {};
    Result<double> result = body();
    answers_.send(Event{.kind = EventKind::phase,
                        .patch = patch_.name,
                        .phase = name,
                        .round = round_,
                        .ok = result.has_value(),
                        .seconds = result.value_or(0),
                        .text = result ? "" : text_of(result.error()),
                        .model = loaded_.model,
                        .pause_ns = loaded_.pause_ns.value_or(0)});
    ok_ = ok_ && result.has_value();
    return result.has_value();
  }

  // The log is its own clock: what comes after the mark happened after the phase began.
  void mark_log(const std::string& name) const {
    int fd = ::open(machine_.log.c_str(), O_WRONLY | O_CLOEXEC);
    const std::string text = fmt::format("{}{} {}", log_mark, name, patch_.name);
    std::ignore = ::write(fd, text.data(), text.size());
    ::close(fd);
  }

  void script(const std::string& argument) {
    if (plan_.script.empty()) {
      return;
    }
    phase(argument, [&]() -> Result<double> {
      const double start = now_seconds();
      BackgroundScript child = TRY(BackgroundScript::start(plan_.script, argument, environment()));
      std::optional<int> status;
      do {
        status = child.wait(100);
        if (std::string text = child.new_output(); !text.empty()) {
          answers_.send(
              Event{.kind = EventKind::output, .phase = argument, .text = std::move(text)});
        }
      } while (!status);
      leave_running_.push_back(std::move(child));
      if (*status != 0) {
        return fail(Code::test_failed, "script",
                    fmt::format("it ended with status {} when run as '{}'", *status, argument));
      }
      return now_seconds() - start;
    });
  }

  void start_load() {
    if (plan_.load_script.empty()) {
      return;
    }
    auto started = BackgroundScript::start(plan_.load_script, "load", environment());
    if (started) {
      background_.emplace(std::move(*started));
    } else {
      phase("background", [&]() -> Result<double> { return std::unexpected(started.error()); });
    }
  }

  void end_load() {
    if (!background_) {
      return;
    }
    phase("background", [&]() -> Result<double> {
      std::optional<int> status = background_->stop();
      if (std::string text = background_->new_output(); !text.empty()) {
        answers_.send(
            Event{.kind = EventKind::output, .phase = "background", .text = std::move(text)});
      }
      if (status.value_or(0) != 0) {
        return fail(Code::test_failed, "load script",
                    fmt::format("it ended with status {} before the test was over", *status));
      }
      return 0;
    });
  }

  bool insert_modules(const std::string& name) {
    if (patch_.modules.empty()) {
      return true;
    }
    return phase(name, [&]() -> Result<double> {
      const double start = now_seconds();
      for (const std::string& module : patch_.modules) {
        auto inserted = live::insert_module(machine_, module);
        if (!inserted && plan_.module_order != ModuleOrder::optional) {
          return std::unexpected(inserted.error());
        }
        if (!inserted) {
          answers_.send(Event{
              .kind = EventKind::output, .phase = name, .text = text_of(inserted.error()) + "\n"});
        }
      }
      if (modules_after()) {
        TRY(check_patched());
      }
      return now_seconds() - start;
    });
  }

  // So that the next round finds them not loaded again. One that cannot go stays.
  void remove_modules() {
    for (const std::string& module : patch_.modules | std::views::reverse) {
      std::string name = fs::path(module).stem().string();
      std::ranges::replace(name, '-', '_');
      std::ignore = live::remove_module(name);
    }
  }

  Status check_patched() const {
    std::optional<machine::LoadedPatch> patch = TRY(machine::find_patch(machine_, patch_.name));
    if (!patch || !patch->enabled || patch->transition) {
      return fail(Code::test_failed, patch_.name, "the kernel does not show it as enabled");
    }
    for (const machine::PatchedObject& object : patch->objects) {
      if (!object.patched &&
          (object.name == "vmlinux" || machine::module_loaded(machine_, object.name))) {
        return fail(Code::test_failed, object.name, "it is there, but not patched");
      }
    }
    return {};
  }

  Result<double> check_gone() const {
    std::optional<machine::LoadedPatch> patch = TRY(machine::find_patch(machine_, patch_.name));
    if (patch || (!stays_ && machine::module_loaded(machine_, patch_.name))) {
      return fail(Code::test_failed, patch_.name, "the kernel still has it after its unload");
    }
    return 0;
  }

  BackgroundScript::Environment environment() const {
    return {{"PATH", "/bin:/sbin:/usr/bin:/usr/sbin"},
            {"HOME", "/"},
            {"SUTURE_PATCH", patch_.name},
            {"SUTURE_ROUND", fmt::format("{}", round_)}};
  }

  GuestPlan plan_;
  PlannedPatch patch_;  // the one on trial
  Answers& answers_;
  const machine::Machine& machine_;
  unsigned round_ = 0;
  bool ok_ = true;
  bool stays_ = false;        // the patch is off, and its module cannot go: it was its only round
  bool core_stays_ = false;   // such a module uses it
  live::LoadOutcome loaded_;  // by the phase under way
  std::optional<BackgroundScript> background_;
  // Ended scripts, kept so that what they left running goes on until the end.
  std::vector<BackgroundScript> leave_running_;
};

Status wait_for_files(Answers& answers) {
  const SharedMemory memory = TRY(SharedMemory::open());
  while (!memory.has_files()) {
    answers.send(Event{.kind = EventKind::ready});
    ::usleep(ready_every);
  }
  return memory.receive("/");
}

Result<GuestPlan> read_plan(Answers& answers) {
  TRY(wait_for_files(answers));
  return parse_plan(TRY(read_text(plan_path)));
}

void mount_all() {
  ::chmod("/", 0755);  // the kernel lets everybody write to the root of its first file system
  const auto mount_at = [](const char* type, const char* where) {
    ::mkdir(where, 0755);
    ::mount(type, where, type, 0, nullptr);  // what is missing shows where it is needed
  };
  mount_at("proc", "/proc");
  mount_at("sysfs", "/sys");
  mount_at("devtmpfs", "/dev");
  mount_at("tmpfs", "/tmp");
  mount_at("tmpfs", "/run");
  mount_at("debugfs", "/sys/kernel/debug");
  mount_at("tracefs", "/sys/kernel/tracing");
  mount_at("securityfs", "/sys/kernel/security");
}

}  // namespace

Status guest_init() {
  if (::getpid() != 1) {
    return fail(Code::usage, "guest-init", "this is not process 1 of a test's guest",
                "run `suture test`, which starts it there");
  }
  mount_all();
  const machine::Machine machine;
  Answers answers{std::string(answer_device)};
  auto plan = read_plan(answers);
  std::ignore = ::chdir("/test");
  {
    LogForwarder log(answers, machine);
    if (plan) {
      Run(std::move(*plan), answers, machine).all();
    } else {
      answers.send(Event{
          .kind = EventKind::phase, .phase = "plan", .ok = false, .text = text_of(plan.error())});
    }
  }
  answers.send(Event{.kind = EventKind::end});
  answers.drain();
  ::reboot(RB_POWER_OFF);
  return {};
}

}  // namespace suture::guest
