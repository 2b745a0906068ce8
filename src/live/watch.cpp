// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: tell every change once and in order, also one that is over before it can be looked at.
// Method: modules come and go with uevents, transitions begin and end with the kernel's words in
// its log; either wakes this process, and what a word says is taken first. Tasks in the way and
// what is attached to functions tell nobody, so there is one look a second, and only while a patch
// is loaded. Each look is compared with what was told before. Invariant: the state that was told is
// only changed together with the telling, so nothing is told twice.
#include "live/watch.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "base/process.h"
#include "machine/kernel_log.h"
#include "machine/uevents.h"

namespace suture::live {

namespace {

constexpr double slow_look = 1;
constexpr double unbounded = 3600;
// The core says "complete" a moment before its files do.
constexpr int settle_milliseconds = 20;

}  // namespace

std::string_view event_word(WatchEvent::Kind kind) {
  switch (kind) {
    case WatchEvent::Kind::came: return "patch-came";
    case WatchEvent::Kind::went: return "patch-went";
    case WatchEvent::Kind::began: return "transition-began";
    case WatchEvent::Kind::ended: return "transition-ended";
    case WatchEvent::Kind::blocked: return "tasks-in-the-way";
    case WatchEvent::Kind::attached: return "attached";
    case WatchEvent::Kind::detached: return "detached";
  }
  return "";
}

void ChangeFinder::set_transition(const std::string& patch, bool transition, bool enabled,
                                  std::vector<WatchEvent>& out) {
  auto [it, is_new] = patches_.try_emplace(patch);
  Known& known = it->second;
  if (is_new) {
    out.push_back({.kind = WatchEvent::Kind::came, .patch = patch, .enabled = enabled});
    known.enabled = enabled;
  }
  // A reversal is the begin of another transition.
  if (transition && (!known.transition || known.enabled != enabled)) {
    out.push_back({.kind = WatchEvent::Kind::began, .patch = patch, .enabled = enabled});
  } else if (!transition && known.transition) {
    out.push_back({.kind = WatchEvent::Kind::ended, .patch = patch, .enabled = enabled});
  }
  known = {.enabled = enabled, .transition = transition};
}

std::vector<WatchEvent> ChangeFinder::take_words(std::string_view text) {
  std::vector<WatchEvent> out;
  const std::size_t end = text.find("': ");
  if (!text.starts_with('\'') || end == std::string_view::npos) {
    return out;
  }
  const std::string patch(text.substr(1, end - 1));
  const std::string_view what = text.substr(end + 3);
  const auto says = [&](std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, what) != words.end();
  };
  const bool to_new = says({"starting patching transition", "patching complete",
                            "reversing transition from unpatching to patching"});
  const bool to_old = says({"starting unpatching transition", "unpatching complete",
                            "reversing transition from patching to unpatching"});
  // A patch that goes back and is not known was seen to be gone before its words were read.
  if (to_new || (to_old && patches_.contains(patch))) {
    set_transition(patch, !what.ends_with("complete"), to_new, out);
  }
  return out;
}

void ChangeFinder::take_patch(const machine::LoadedPatch& patch, std::vector<WatchEvent>& out) {
  auto known = patches_.find(patch.name);
  const bool was_moving = known != patches_.end() && known->second.transition;
  if (patch.transition && hears_words_ && !first_look_) {
    return;  // the words are on their way
  }
  if (patch.transition || was_moving || known == patches_.end()) {
    set_transition(patch.name, patch.transition, patch.enabled, out);
  }
}

void ChangeFinder::take_tasks(const MachineStatus& status, std::vector<WatchEvent>& out) {
  auto moving = std::ranges::find_if(status.patches,
                                     [](const PatchStatus& it) { return it.patch.transition; });
  std::vector<int> blocking;
  if (moving != status.patches.end()) {
    auto known = patches_.find(moving->patch.name);
    if (known == patches_.end() || !known->second.transition ||
        known->second.enabled != moving->patch.enabled) {
      return;  // seen the moment before it begins, or is reversed: these are not the tasks
    }
    for (const machine::BlockingTask& task : status.blocking) {
      blocking.push_back(task.tid);
    }
    if (blocking != blocking_) {
      out.push_back({.kind = WatchEvent::Kind::blocked,
                     .patch = moving->patch.name,
                     .enabled = moving->patch.enabled,
                     .tasks = status.blocking});
    }
  }
  blocking_ = std::move(blocking);
}

void ChangeFinder::take_attachments(const MachineStatus& status, std::vector<WatchEvent>& out) {
  decltype(attached_) attached;
  for (const machine::Attachment& it : status.attached.found) {
    attached.emplace(std::tuple(it.object, it.function, it.what), it);
  }
  for (const auto& [key, it] : attached) {
    if (!attached_.contains(key)) {
      out.push_back({.kind = WatchEvent::Kind::attached, .attachment = it});
    }
  }
  for (const auto& [key, it] : attached_) {
    if (!attached.contains(key)) {
      out.push_back({.kind = WatchEvent::Kind::detached, .attachment = it});
    }
  }
  attached_ = std::move(attached);
}

std::vector<WatchEvent> ChangeFinder::take_status(const MachineStatus& status) {
  std::vector<WatchEvent> out;
  std::set<std::string> there;
  for (const PatchStatus& it : status.patches) {
    take_patch(it.patch, out);
    there.insert(it.patch.name);
  }
  for (auto it = patches_.begin(); it != patches_.end();) {
    if (there.contains(it->first)) {
      ++it;
      continue;
    }
    if (it->second.transition) {
      out.push_back({.kind = WatchEvent::Kind::ended, .patch = it->first, .enabled = false});
    }
    out.push_back({.kind = WatchEvent::Kind::went, .patch = it->first, .enabled = false});
    it = patches_.erase(it);
  }
  take_tasks(status, out);
  take_attachments(status, out);
  first_look_ = false;
  return out;
}

namespace {

// What wakes the watch.
class Sources {
 public:
  static Result<Sources> open(const machine::Machine& machine) {
    Sources sources{TRY(machine::ModuleEvents::open())};
    if (auto log = machine::LogReader::open(machine.log, machine::LogReader::From::now)) {
      sources.log_.emplace(std::move(*log));
    }
    return sources;
  }

  bool hears_words() const { return log_.has_value(); }
  // Waits so long at most. Gives the cores' words; `woken` is false where the time ran
  // out.
  std::vector<std::string> wait(double seconds, bool& woken) {
    std::array<pollfd, 2> waits{
        {{modules_.descriptor(), POLLIN, 0}, {log_ ? log_->descriptor() : -1, POLLIN, 0}}};
    woken = false;
    ::poll(waits.data(), waits.size(), static_cast<int>(seconds * 1000 + 1));
    if (modules_.any()) {
      woken = true;
    }
    std::vector<std::string> words;
    while (auto record = log_ ? log_->next() : std::nullopt) {
      const auto said = record->from_kernel ? machine::words_of_a_core(record->text) : std::nullopt;
      if (said) {
        words.emplace_back(*said);
        woken = true;
      }
    }
    return words;
  }

 private:
  explicit Sources(machine::ModuleEvents modules) : modules_(std::move(modules)) {}
  machine::ModuleEvents modules_;
  std::optional<machine::LogReader> log_;
};

}  // namespace

Status watch(const machine::Machine& machine, const WatchOptions& options,
             const std::function<void(const WatchEvent&)>& on_event) {
  Sources sources = TRY(Sources::open(machine));
  ChangeFinder finder(sources.hears_words());
  const double end = now_seconds() + options.seconds.value_or(0);
  bool told = false;
  const auto tell = [&](const std::vector<WatchEvent>& events) {
    for (const WatchEvent& event : events) {
      on_event(event);
    }
    told = told || !events.empty();
  };
  double next_look = 0;
  while (!interrupted() && !(options.once && told)) {
    const double now = now_seconds();
    if (now >= next_look) {
      tell(finder.take_status(TRY(machine_status(machine))));
      next_look = now + (finder.any_patch() ? slow_look : unbounded);
    }
    if (options.seconds && now >= end) {
      break;
    }
    bool woken = false;
    const double until = options.seconds ? std::min(next_look, end) : next_look;
    for (const std::string& text : sources.wait(std::max(0.0, until - now), woken)) {
      tell(finder.take_words(text));
    }
    if (woken) {
      ::poll(nullptr, 0, settle_milliseconds);
      next_look = 0;
    }
  }
  return {};
}

}  // namespace suture::live
