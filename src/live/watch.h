// SPDX-License-Identifier: GPL-2.0-or-later
//
// What happens to the patches of this machine, as it happens.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "live/status.h"

namespace suture::live {

struct WatchEvent {
  enum class Kind {
    came,      // the patch is loaded
    went,      // the core has dropped it
    began,     // a transition
    ended,     // it is over
    blocked,   // the tasks in the way are others than before
    attached,  // something else came to a function of a patch in force
    detached,
  };
  Kind kind = Kind::came;
  std::string patch;
  bool enabled = true;                            // where the transition goes, or went
  std::vector<machine::BlockingTask> tasks;       // of blocked
  std::optional<machine::Attachment> attachment;  // of attached and detached
};
std::string_view event_word(WatchEvent::Kind kind);  // "patch-came", "transition-began", ...

// Turns the kernel's words and looks at its state into events, each once.
class ChangeFinder {
 public:
  // Where the words can be heard, they alone tell of transitions that begin after the first look:
  // for a moment the files show the way that one goes as it was before.
  explicit ChangeFinder(bool hears_words) : hears_words_(hears_words) {}
  // "'NAME': starting patching transition" and the like, without the core's name; anything else
  // is nothing. Short transitions are only seen here.
  std::vector<WatchEvent> take_words(std::string_view text);
  std::vector<WatchEvent> take_status(const MachineStatus& status);
  bool any_patch() const { return !patches_.empty(); }

 private:
  struct Known {
    bool enabled = true;
    bool transition = false;
  };
  void set_transition(const std::string& patch, bool transition, bool enabled,
                      std::vector<WatchEvent>& out);
  void take_patch(const machine::LoadedPatch& patch, std::vector<WatchEvent>& out);
  void take_tasks(const MachineStatus& status, std::vector<WatchEvent>& out);
  void take_attachments(const MachineStatus& status, std::vector<WatchEvent>& out);

  bool hears_words_;
  bool first_look_ = true;
  std::map<std::string, Known> patches_;
  std::vector<int> blocking_;
  std::map<std::tuple<std::string, std::string, std::string>, machine::Attachment> attached_;
};

struct WatchOptions {
  std::optional<double> seconds;  // ends after so long
  bool once = false;              // ends after the first event
};

// Tells what is there as events first, then what changes, until interrupted, which is no error.
// no-livepatch.
Status watch(const machine::Machine& machine, const WatchOptions& options,
             const std::function<void(const WatchEvent&)>& on_event);

}  // namespace suture::live
