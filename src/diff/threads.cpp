// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a patch is in force when no task is left in what it replaces. A task that sleeps in a
// loop that it never leaves holds the transition up for ever, and would never run the new code.
//
// Method: the running function's instructions, those of its .cold parts, and what alternatives jump
// to, as a graph: each leads to what may run next, tables about code included. Three questions.
//   1. Is there a call that sleeps, which comes round again and from which no way leads to a return
//      or to the task's end? Then it is refused, whoever calls it.
//   2. Is it given to what starts kernel threads? Or does nobody call it by name, and it loops
//      until its thread is to stop, or does with its task what only the kernel's do? Then a task
//      enters it once. It is refused where it asks whether to stop, has no return, sleeps without a
//      deadline again and again with work in between, or has a loop and may be frozen. What only
//      waits for something once may end by itself: a note.
//      Where the main function does not wait itself, but the one function of its file that it calls
//      again and again and that waits: the thread is in that one when it has nothing to do.
//   3. Does it never return, but end the task, or the machine? A note. It also has one where it
//      receives from a socket, by itself or by what it calls: a thread may wait there for as long
//      as the connection lasts.
// The kernel's own functions to sleep, which tell nothing by their code, are known by name.
//
// Invariants: what is not understood is a way out, so a refusal is never a guess about code; traps
// of BUG() and calls that stop the machine are none, as nobody goes on from there.
#include "diff/threads.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <span>
#include <string>

namespace suture::diff {

namespace {

using Names = std::span<const std::string_view>;

constexpr std::array<std::string_view, 9> thread_starters{"kthread_create_on_node",
                                                          "__kthread_create_on_node",
                                                          "kthread_create_on_cpu",
                                                          "kernel_thread",
                                                          "user_mode_thread",
                                                          "create_io_thread",
                                                          "svc_create",
                                                          "svc_create_pooled",
                                                          "vhost_task_create"};
constexpr std::array<std::string_view, 3> stop_questions{
    "kthread_should_stop", "kthread_freezable_should_stop", "kthread_should_park"};
// Only threads of the kernel prepare themselves so: to sleep while the machine does, and to be sent
// signals.
constexpr std::array<std::string_view, 1> may_be_frozen{"set_freezable"};
constexpr std::array<std::string_view, 2> preparations{"set_freezable", "kernel_sigaction"};
constexpr std::array<std::string_view, 2> priorities{"sched_set_fifo", "sched_set_fifo_low"};
// They sleep until somebody wakes the task.
constexpr std::array<std::string_view, 10> sleepers{"schedule",
                                                    "__schedule",
                                                    "schedule_idle",
                                                    "schedule_preempt_disabled",
                                                    "io_schedule",
                                                    "wait_for_completion",
                                                    "wait_for_completion_interruptible",
                                                    "kthread_parkme",
                                                    "svc_recv",
                                                    "do_idle"};
constexpr std::array<std::string_view, 11> timed_sleepers{"schedule_timeout",
                                                          "schedule_timeout_interruptible",
                                                          "schedule_timeout_uninterruptible",
                                                          "schedule_timeout_killable",
                                                          "schedule_timeout_idle",
                                                          "schedule_hrtimeout",
                                                          "schedule_hrtimeout_range",
                                                          "io_schedule_timeout",
                                                          "msleep",
                                                          "msleep_interruptible",
                                                          "usleep_range_state"};
// They wait for the other end.
constexpr std::array<std::string_view, 3> receivers{"sock_recvmsg", "kernel_recvmsg",
                                                    "kernel_accept"};
// So do others that wait without a deadline; what else they are called.
constexpr std::array<std::string_view, 5> words_of_waits{"wait", "recv", "accept", "down_", "poll"};
// What a wait for one thing is made of: it is no work.
constexpr std::array<std::string_view, 13> parts_of_a_wait{
    "prepare_to_",       "finish_", "init_wait",  "schedule",    "_raw_spin_",     "_raw_read_",
    "_raw_write_",       "mutex_",  "__fentry__", "__rcu_read_", "__cond_resched", "__refrigerator",
    "freezing_slow_path"};
constexpr std::array<std::string_view, 8> ends_of_tasks{"do_exit",
                                                        "do_group_exit",
                                                        "make_task_dead",
                                                        "do_task_dead",
                                                        "kthread_exit",
                                                        "kthread_complete_and_exit",
                                                        "__module_put_and_kthread_exit",
                                                        "module_put_and_kthread_exit"};
constexpr std::array<std::string_view, 5> ends_of_machines{"panic", "nmi_panic", "__stack_chk_fail",
                                                           "fortify_panic", "cpu_startup_entry"};

// Where kernel threads are as long as they live, or wait for as long as nothing happens.
constexpr std::array<std::string_view, 5> never_empty{"kthread", "schedule", "schedule_idle",
                                                      "__schedule", "schedule_timeout"};

bool is_one_of(std::string_view name, Names names) {
  return std::ranges::find(names, name) != names.end();
}

bool refers_to(const PieceGraph& graph, const Piece& user, Names names) {
  return std::ranges::any_of(user.references, [&](const Reference& reference) {
    return is_one_of(name_of(graph, reference), names);
  });
}

// What may run after what in a function, from its entry on.
class Ways {
 public:
  Ways(const Side& side, std::int32_t function)
      : side_(side),
        function_(function),
        split_(fmt::format("{}.cold", side.graph.piece(function).name)) {
    enter({function, 0}, nullptr);
    while (!work_.empty()) {
      Step& step = steps_.at(work_.back());
      work_.pop_back();
      follow(step);
    }
  }

  bool returns() const {
    return std::ranges::any_of(steps_, [](const auto& step) { return step.second.leaves; });
  }

  // It sleeps in a loop that nothing leads out of.
  bool sleeps_for_ever() const {
    return std::ranges::any_of(steps_, [&](const auto& entry) {
      const Step& step = entry.second;
      if (!sleeps(step)) {
        return false;
      }
      const std::set<const Step*> after = reach(step, &Step::next);
      return after.contains(&step) && std::ranges::none_of(after, &Step::leaves);
    });
  }

  // It sleeps without a deadline, works, and comes round to sleep again.
  bool waits_for_work() const {
    return std::ranges::any_of(steps_, [&](const auto& entry) {
      return is_one_of(entry.second.calls, sleepers) && works_around(entry.second);
    });
  }

  // It asks again and again whether the thread is to stop.
  bool asks_to_stop_in_a_loop() const {
    return comes_round([](const Step& step) { return is_one_of(step.calls, stop_questions); });
  }
  bool sleeps_in_a_loop() const { return comes_round(sleeps); }
  // In a loop, as what it waits for may not be there yet, and without a deadline.
  bool waits() const {
    return comes_round([](const Step& step) { return is_one_of(step.calls, sleepers); });
  }
  // By itself or by one of `functions`.
  bool waits_in_a_loop(const std::set<std::string_view>& functions) const {
    return comes_round([&](const Step& step) {
      return is_one_of(step.calls, sleepers) || functions.contains(step.calls);
    });
  }
  // The pieces of its file that it calls in a loop, where it waits for nothing itself.
  std::set<std::int32_t> called_between_no_waits() const {
    std::set<std::int32_t> out;
    for (const auto& [place, step] : steps_) {
      if (step.calls.empty() || !reach(step, &Step::next).contains(&step)) {
        continue;
      }
      if (step.callee >= 0) {
        out.insert(step.callee);
      } else if (is_one_of(step.calls, sleepers) || is_called_like_a_wait(step.calls)) {
        return {};
      }
    }
    return out;
  }
  // No other thread may throw its signals away.
  bool flushes_signals_between_work() const {
    return std::ranges::any_of(steps_, [&](const auto& entry) {
      return entry.second.calls == "flush_signals" && works_around(entry.second);
    });
  }
  bool calls_in_a_loop() const {
    return comes_round([](const Step& step) { return !step.calls.empty(); });
  }

 private:
  using Place = std::pair<std::int32_t, std::uint64_t>;  // piece and offset

  struct Step {
    Place place;
    bool leaves = false;       // it returns, goes elsewhere, or ends the task
    std::string_view calls;    // empty where it calls nothing, or what cannot be named
    std::int32_t callee = -1;  // the piece of the file that it calls
    std::vector<const Step*> next;
    std::vector<const Step*> previous;
  };

  static std::set<const Step*> reach(const Step& from, std::vector<const Step*> Step::*edges) {
    std::set<const Step*> seen;
    std::vector<const Step*> work(from.*edges);
    while (!work.empty()) {
      const Step* step = work.back();
      work.pop_back();
      if (seen.insert(step).second) {
        work.insert(work.end(), (step->*edges).begin(), (step->*edges).end());
      }
    }
    return seen;
  }

  static bool is_called_like_a_wait(std::string_view name) {
    return !is_one_of(name, timed_sleepers) &&
           std::ranges::any_of(words_of_waits, [&](auto word) { return name.contains(word); });
  }

  static bool sleeps(const Step& step) {
    return is_one_of(step.calls, sleepers) || is_one_of(step.calls, timed_sleepers);
  }

  // There is a loop from the step back to it, with more in it than a wait.
  static bool works_around(const Step& step) {
    const std::set<const Step*> before = reach(step, &Step::previous);
    return std::ranges::any_of(reach(step, &Step::next), [&](const Step* other) {
      return before.contains(other) && !other->calls.empty() && other->calls != step.calls &&
             !is_one_of(other->calls, sleepers) &&
             std::ranges::none_of(parts_of_a_wait,
                                  [&](auto start) { return other->calls.starts_with(start); });
    });
  }

  template <class Wanted>
  bool comes_round(Wanted wanted) const {
    return std::ranges::any_of(steps_, [&](const auto& entry) {
      return wanted(entry.second) && reach(entry.second, &Step::next).contains(&entry.second);
    });
  }

  bool inside(std::int32_t piece) const {
    return piece == function_ ||
           (piece >= 0 && (side_.graph.piece(piece).kind == PieceKind::blob ||
                           side_.graph.piece(piece).name.starts_with(split_)));
  }

  void enter(Place place, Step* from) {
    auto [it, fresh] = steps_.try_emplace(place);
    it->second.place = place;
    if (fresh) {
      work_.push_back(place);
    }
    if (from != nullptr) {
      from->next.push_back(&it->second);
      it->second.previous.push_back(from);
    }
  }

  void follow(Step& step) {
    const auto [index, offset] = step.place;
    const Piece& piece = side_.graph.piece(index);
    const auto insn = side_.graph.arch().next(side_.graph.bytes(piece), offset);
    if (!insn) {
      return;  // behind the last call: it does not return
    }
    bool goes_on = insn->goes_on || follow_tables(step);
    step.leaves = insn->returns;
    if (insn->is_branch) {
      goes_on = follow_branch(step, *insn) && goes_on;
    }
    if (goes_on && offset + insn->length < piece.size) {
      enter({index, offset + insn->length}, &step);
    }
  }

  // Whether what follows may run next, as far as the branch has a say in it.
  bool follow_branch(Step& step, const elf::Instruction& insn) {
    const Piece& piece = side_.graph.piece(step.place.first);
    auto it = std::ranges::find(piece.references, insn.offset + insn.field, &Reference::offset);
    if (it == piece.references.end()) {
      enter({step.place.first, static_cast<std::uint64_t>(insn.target)}, &step);
      return true;
    }
    if (insn.is_call) {
      step.calls = name_of(side_.graph, *it);
      step.callee = it->target_piece;
      step.leaves = is_one_of(step.calls, ends_of_tasks);
      return !step.leaves && !is_one_of(step.calls, ends_of_machines);
    }
    if (inside(it->target_piece) && it->target_offset >= 0) {
      enter({it->target_piece, static_cast<std::uint64_t>(it->target_offset)}, &step);
    } else {
      step.leaves = true;
    }
    return true;
  }

  // Jump labels, exceptions and alternatives lead elsewhere, too; from a warning's trap the kernel
  // goes on.
  bool follow_tables(Step& step) {
    bool goes_on = false;
    for (const TableEntry& entry : side_.tables.of(step.place.first)) {
      const auto names = [&](const Reference& reference) {
        return reference.target_piece == step.place.first && reference.target_offset >= 0 &&
               static_cast<std::uint64_t>(reference.target_offset) == step.place.second;
      };
      if (entry.references.empty() || !names(entry.references[0])) {
        continue;
      }
      for (const Reference& other : entry.references) {
        if (inside(other.target_piece) && other.target_offset >= 0 && !names(other)) {
          enter({other.target_piece, static_cast<std::uint64_t>(other.target_offset)}, &step);
        }
      }
      const elf::Section& section = side_.graph.object().sections()[entry.section];
      constexpr unsigned warning = 1;  // BUGFLAG_WARNING of the flags that end a struct bug_entry
      const auto flags = read_le<std::uint16_t>(section.data, entry.offset + entry.size - 2);
      goes_on = goes_on || (section.name == "__bug_table" && flags && (*flags & warning) != 0) ||
                section.name == ".altinstructions";
    }
    return goes_on;
  }

  const Side& side_;
  const std::int32_t function_;
  const std::string split_;
  std::map<Place, Step> steps_;
  std::vector<Place> work_;
};

class ThreadJudge {
 public:
  ThreadJudge(const Side& pre, const Side& post, ObjectDiff& out)
      : pre_(pre), post_(post), out_(out) {}

  void run() {
    const std::set<std::int32_t> mains = thread_mains(post_.graph);
    waits_ = waits_of_mains(pre_, thread_mains(pre_.graph));
    for (std::size_t i = 0; i < out_.fate.size(); ++i) {
      const auto index = static_cast<std::int32_t>(i);
      if (out_.fate[i] == Fate::changed) {
        judge(index, pre_, out_.correlation.pre_of[i], mains.contains(index));
      } else if (out_.fate[i] == Fate::moved) {
        judge_moved(index, mains.contains(index));
      }
    }
  }

 private:
  // What runs is another file's; where that is none of the patch's, its code was not compiled.
  void judge_moved(std::int32_t function, bool main) {
    const Origin& origin = out_.correlation.elsewhere.origins.at(function);
    if (origin.pre != nullptr) {
      judge(function, *origin.pre, origin.piece,
            main || thread_mains(origin.pre->graph).contains(origin.piece));
    }
  }

  static std::set<std::int32_t> thread_mains(const PieceGraph& graph) {
    std::set<std::int32_t> out;
    for (const Piece& user : graph.pieces()) {
      if (refers_to(graph, user, thread_starters)) {
        add_given_to_starters(graph, user, out);
      }
    }
    return out;
  }

  // A compiler loads an argument after the call before; where it does not, all addresses of the
  // function's may be meant.
  static void add_given_to_starters(const PieceGraph& graph, const Piece& user,
                                    std::set<std::int32_t>& out) {
    std::set<std::int32_t> since_last_call;
    std::set<std::int32_t> all;
    std::set<std::int32_t> given;
    bool known = true;
    for (const Reference& reference : user.references) {
      const std::int32_t target = reference.target_piece;
      if (reference.is_branch) {
        if (is_one_of(name_of(graph, reference), thread_starters)) {
          known = known && !since_last_call.empty();
          given.merge(since_last_call);
        }
        since_last_call.clear();
      } else if (target >= 0 && reference.target_offset == 0 &&
                 graph.piece(target).kind == PieceKind::function) {
        since_last_call.insert(target);
        all.insert(target);
      }
    }
    out.merge(known ? given : all);
  }

  // A function of its file that it calls sleeps in such a loop.
  static bool calls_for_ever(const Side& side, std::int32_t function) {
    std::set<std::int32_t> called;
    for (const Reference& call : side.graph.piece(function).references) {
      if (call.is_branch && call.target_piece >= 0 && call.target_piece != function &&
          side.graph.piece(call.target_piece).kind == PieceKind::function) {
        called.insert(call.target_piece);
      }
    }
    return std::ranges::any_of(
        called, [&](std::int32_t callee) { return Ways(side, callee).sleeps_for_ever(); });
  }

  // Main functions that never wait themselves do so in one function that they call.
  static std::set<std::int32_t> waits_of_mains(const Side& side,
                                               const std::set<std::int32_t>& mains) {
    std::set<std::int32_t> out;
    for (std::int32_t main : mains) {
      std::set<std::int32_t> waiting = Ways(side, main).called_between_no_waits();
      std::erase_if(waiting, [&](std::int32_t callee) { return !Ways(side, callee).waits(); });
      if (waiting.size() == 1) {
        out.merge(waiting);
      }
    }
    return out;
  }

  // By itself, or by what it calls in its file.
  static bool receives(const Side& side, std::int32_t function) {
    std::set<std::int32_t> seen{function};
    std::vector<std::int32_t> work{function};
    while (!work.empty()) {
      const Piece& piece = side.graph.piece(work.back());
      work.pop_back();
      if (refers_to(side.graph, piece, receivers)) {
        return true;
      }
      for (const Reference& call : piece.references) {
        if (call.is_branch && call.target_piece >= 0 && seen.insert(call.target_piece).second) {
          work.push_back(call.target_piece);
        }
      }
    }
    return false;
  }

  enum class Users { callers, takers, unseen };

  // Who uses the function in its file: somebody calls it, or at most its address is taken.
  static Users users_of(const PieceGraph& graph, std::int32_t function) {
    const std::string cold = fmt::format("{}.cold", graph.piece(function).name);
    bool handed_out = false;
    for (const Piece& user : graph.pieces()) {
      if (&user == &graph.piece(function) || user.name.starts_with(cold) ||
          user.kind == PieceKind::blob) {
        continue;  // its own jumps
      }
      for (const Reference& reference : user.references) {
        if (reference.target_piece == function && reference.is_branch) {
          return Users::callers;
        }
        handed_out = handed_out || reference.target_piece == function;
      }
    }
    return handed_out ? Users::takers : Users::unseen;
  }

  // Nobody calls it by its name, and it loops until its thread is to stop: what starts the thread
  // got its address by way of others, or is in another file.
  static bool is_main_elsewhere(const PieceGraph& graph, std::int32_t function, Users users,
                                const Ways& ways) {
    return ways.asks_to_stop_in_a_loop() &&
           (users == Users::takers ||
            (users == Users::unseen && graph.piece(function).global && ways.sleeps_in_a_loop()));
  }

  // It does what only threads of the kernel do, around a loop or in it.
  static bool is_like_a_main(const PieceGraph& graph, std::int32_t function, const Ways& ways) {
    const Piece& piece = graph.piece(function);
    if (refers_to(graph, piece, preparations)) {
      return ways.calls_in_a_loop();
    }
    if (!ways.flushes_signals_between_work()) {
      return false;
    }
    std::set<std::string_view> waiting;
    for (const Piece& other : graph.pieces()) {
      if (other.kind == PieceKind::function && refers_to(graph, other, sleepers)) {
        waiting.insert(other.name);
      }
    }
    return refers_to(graph, piece, priorities) || ways.waits_in_a_loop(waiting);
  }

  // `before` of `running` is what runs.
  void judge(std::int32_t function, const Side& running, std::int32_t before, bool main) {
    const std::string name(post_.graph.piece(function).name);
    const Ways ways(running, before);
    const bool returns = ways.returns();
    const Users users = users_of(running.graph, before);
    const bool may_be_main =
        users == Users::takers || (users == Users::unseen && running.graph.piece(before).global);
    const bool lasts = main
                           ? refers_to(running.graph, running.graph.piece(before), may_be_frozen) &&
                                 ways.calls_in_a_loop()
                           : may_be_main && is_like_a_main(running.graph, before, ways);
    const bool is_started = main;
    main = main || lasts || is_main_elsewhere(running.graph, before, users, ways);
    if (is_one_of(name, never_empty)) {
      refuse(name, "kernel threads are in it at all times",
             "move the change into a function that it calls, or boot a kernel that has it");
    } else if (ways.sleeps_for_ever() || calls_for_ever(running, before)) {
      refuse(name,
             "it sleeps in a loop that nothing leads out of: a task that has come there stays");
    } else if (main && (refers_to(running.graph, running.graph.piece(before), stop_questions) ||
                        lasts || !returns || ways.waits_for_work())) {
      refuse(name, is_started
                       ? "it is the main function of a kernel thread, which stays in it until "
                         "it is stopped"
                       : "a kernel thread stays in it until it is stopped");
    } else if (&running == &pre_ && waits_.contains(before)) {
      refuse(name, "a kernel thread is in it whenever it has nothing to do");
    } else if (main) {
      out_.notes.push_back(
          fmt::format("{} is the main function of a kernel thread: one that sleeps in it holds the "
                      "transition up until it ends",
                      name));
    } else if (!returns) {
      out_.notes.push_back(fmt::format(
          "{} does not return: a task that sleeps in it holds the transition up until it ends",
          name));
    } else if (receives(running, before)) {
      out_.notes.push_back(fmt::format(
          "{} receives from a socket: a kernel thread that waits in it for the other end "
          "holds the transition up until something comes",
          name));
    }
  }

  void refuse(const std::string& name, std::string_view why,
              std::string_view remedy =
                  "move the change into a function that it calls, or stop the thread: reload the "
                  "module that owns it, or reboot") {
    out_.refusals.push_back(
        Error{Code::thread_main, name,
              fmt::format("{}, so the transition would never end, and the task would never run the "
                          "new code",
                          why),
              std::string(remedy)});
  }

  const Side& pre_;
  const Side& post_;
  std::set<std::int32_t> waits_;  // of pre: where threads wait whose main function does not
  ObjectDiff& out_;
};

}  // namespace

void judge_threads(const Side& pre, const Side& post, ObjectDiff& out) {
  ThreadJudge(pre, post, out).run();
}

}  // namespace suture::diff
