// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: take a patch back at a time, whatever happens to the process that loaded it, and never
// after somebody accepted it. Method: the record of the trial is the trial; removing it accepts.
// The keeper is started before the patch is loaded, sleeps until the record changes (inotify) or
// its deadline, and then turns the record into `reverting` before it touches the patch. Invariant:
// records change under one lock, so of an accept and a revert exactly one is first, and the other
// is told. A keeper that cannot get the lock, or finds the record damaged, goes on by what it knew.
#include "live/trial.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/process.h"
#include "live/load.h"

namespace suture::live {

namespace {

constexpr double retry_seconds = 5;
constexpr double longest_sleep = 3600;

std::unexpected<Error> not_on_trial(const std::string& patch) {
  return fail(Code::not_on_trial, patch, "no patch of that name is on trial",
              "see `suture status`; a patch that is not on trial stays as it is");
}

// Starts "suture keep-trial PATCH" in a session of its own, with nothing of this one open.
Result<pid_t> start_keeper(const std::string& patch) {
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t files;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
  }
  std::string program = "suture", command = keeper_command, name = patch;
  char* arguments[] = {program.data(), command.data(), name.data(), nullptr};
  pid_t pid = -1;
  const int err = ::posix_spawn(&pid, "/proc/self/exe", &files, &attributes, arguments, ::environ);
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (err != 0) {
    return fail_errno(err, patch, "start the keeper of the trial");
  }
  return pid;
}

// Sleeps until something changes in the directory of the records, or so long.
class RecordChanges {
 public:
  explicit RecordChanges(const fs::path& directory)
      : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    ::inotify_add_watch(fd_, directory.c_str(), IN_DELETE | IN_MOVED_TO);
  }
  RecordChanges(const RecordChanges&) = delete;
  RecordChanges& operator=(const RecordChanges&) = delete;
  ~RecordChanges() { ::close(fd_); }

  void wait(double seconds) const {
    pollfd change{fd_, POLLIN, 0};
    ::poll(&change, 1, static_cast<int>(std::clamp(seconds, 0.0, longest_sleep) * 1000 + 1));
    char buffer[4096];
    while (::read(fd_, buffer, sizeof(buffer)) > 0) {
    }
  }

 private:
  int fd_;
};

void say_to_log(const machine::Machine& machine, const std::string& text) {
  int fd = ::open(machine.log.c_str(), O_WRONLY | O_CLOEXEC);
  const std::string line = "suture: " + text;
  std::ignore = ::write(fd, line.data(), line.size());
  ::close(fd);
}

// True once the deadline has passed and the patch is this process's to take back.
Result<bool> claim(const machine::Machine& machine, Record& record) {
  FileLock lock = TRY(lock_records(machine));
  if (auto current = read_record(machine, record.patch)) {
    if (!*current || (*current)->deadline > seconds_since_boot()) {
      return false;
    }
    record = **current;
  }
  record.kind = Record::Kind::reverting;
  keep_by_this_process(machine, record);
  TRY(write_record(machine, record));
  return true;
}

// Takes the patch back, however long that takes; another transition may be in the way.
Status take_back(const machine::Machine& machine, const std::string& patch) {
  say_to_log(machine, fmt::format("the trial of '{}' is over: taking it back", patch));
  for (;;) {
    auto outcome = unload(machine, patch, LoadOptions{.patience = {.deadline = longest_sleep}});
    if (outcome || outcome.error().code == Code::not_loaded) {
      remove_record(machine, patch);
      return {};
    }
    const Error& error = outcome.error();
    if (interrupted() || (error.code != Code::busy && error.code != Code::transition_incomplete)) {
      say_to_log(machine, fmt::format("'{}' cannot be taken back: {}", patch, error.reason));
      return std::unexpected(error);
    }
    ::poll(nullptr, 0, static_cast<int>(retry_seconds * 1000));
  }
}

}  // namespace

Status prepare_trial(const machine::Machine& machine, const std::string& patch, double load_seconds,
                     double trial_seconds) {
  Record record{.patch = patch,
                .deadline = seconds_since_boot() + load_seconds + trial_seconds,
                .trial_seconds = trial_seconds};
  keep_by_this_process(machine, record);
  TRY(write_record(machine, record));
  auto keeper = start_keeper(patch);
  if (!keeper) {
    remove_record(machine, patch);
    return std::unexpected(keeper.error());
  }
  FileLock lock = TRY(lock_records(machine));
  keep_by(machine, record, *keeper);
  return write_record(machine, record);
}

Status start_trial(const machine::Machine& machine, const std::string& patch) {
  FileLock lock = TRY(lock_records(machine));
  auto record = TRY(read_record(machine, patch));
  if (!record || record->kind != Record::Kind::loading) {
    return not_on_trial(patch);
  }
  record->kind = Record::Kind::trial;
  record->deadline = seconds_since_boot() + record->trial_seconds;
  return write_record(machine, *record);
}

Status accept(const machine::Machine& machine, const std::string& patch) {
  FileLock lock = TRY(lock_records(machine));
  auto record = TRY(read_record(machine, patch));
  if (!record || record->trial_seconds == 0) {
    return not_on_trial(patch);
  }
  if (record->kind == Record::Kind::reverting) {
    return fail(Code::not_on_trial, patch, "its trial is over, and it is being taken back",
                "load it again");
  }
  auto found = TRY(machine::find_patch(machine, patch));
  if (!found || !found->enabled || found->transition) {
    return fail(Code::transition_incomplete, patch, "it is not in force (yet)",
                "wait until `suture status` shows it as enabled, then accept it");
  }
  if (!remove_record(machine, patch)) {
    return fail_errno(errno, patch, "remove the record of its trial");
  }
  return {};
}

Status keep_trial(const machine::Machine& machine, const std::string& patch) {
  RecordChanges changes(records_directory(machine));
  std::optional<Record> record = TRY(read_record(machine, patch));
  for (;;) {
    if (!record || record->trial_seconds == 0) {
      return {};
    }
    const double left = record->deadline - seconds_since_boot();
    auto claimed = left <= 0 ? claim(machine, *record) : Result<bool>(false);
    if (claimed && *claimed) {
      return take_back(machine, patch);
    }
    // Who holds the lock may be stopped; it is asked for again and again, and others can do so too.
    changes.wait(claimed ? left : retry_seconds);
    if (interrupted()) {
      return fail(Code::interrupted, patch, "interrupted; the patch stays, and its trial",
                  "take it back by hand: suture unload " + patch);
    }
    if (auto now = read_record(machine, patch)) {
      record = *now;
    }
  }
}

}  // namespace suture::live
