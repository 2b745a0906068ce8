// SPDX-License-Identifier: GPL-2.0-or-later
//
// match_bench VMLINUX|MODULE OBJECT...: what matching compiled objects against what runs costs, in
// CPU time per MB of code, and as a ratio to decoding the same code once. Objects are those that
// `suture build` keeps in the cache under derived/BUILD_ID/pre.
#include <fmt/format.h>

#include "cpu_time.h"
#include "kernel/image.h"
#include "kernel/module_image.h"
#include "match/explain.h"

namespace {

using namespace suture;

// The least of several runs: what the work costs when nothing disturbs it.
template <class Work>
double least_ms(Work work) {
  double least = 1e9;
  for (int i = 0; i < 7; ++i) {
    double start = cpu_ms();
    work();
    least = std::min(least, cpu_ms() - start);
  }
  return least;
}

Status measure(const fs::path& path, const match::RunObject& run, const elf::Arch& arch) {
  elf::ObjectFile object = TRY(elf::ObjectFile::open(path));
  diff::PieceGraph graph = TRY(diff::PieceGraph::build(object, arch));
  match::MatchResult result;
  double matching = least_ms([&] { result = match::match(graph, run); });
  std::size_t bytes = 0;
  std::size_t instructions = 0;
  double decoding = least_ms([&] {
    bytes = instructions = 0;
    for (const diff::Piece& piece : graph.pieces()) {
      if (piece.kind == diff::PieceKind::function) {
        bytes += piece.size;
        instructions += arch.decode(graph.bytes(piece)).size();
      }
    }
  });
  double megabytes = static_cast<double>(bytes) / 1e6;
  fmt::print(
      "{}: {} of {} functions, {} solved, {:.2f} MB of code: {:.2f} ms, {:.1f} ms/MB, {:.2f} "
      "of decoding\n",
      path.filename().string(), result.functions.size(), result.of,
      result.addresses.size() + result.externals.size(), megabytes, matching, matching / megabytes,
      matching / decoding);
  for (const auto& [piece, mismatch] : result.mismatches) {
    fmt::print("{}: {}\n", graph.piece(piece).name,
               mismatch.kind == match::Mismatch::Kind::different
                   ? match::explain(graph, run, result, mismatch).text()
                   : mismatch.reason);
  }
  return {};
}

Status bench(int argc, char** argv) {
  const elf::Arch& arch = *elf::arch_of(EM_X86_64);
  const fs::path target = argv[1];
  kernel::Image image;
  kernel::ModuleImage module;
  match::RunObject run;
  if (target.string().find(".ko") != std::string::npos) {
    module = TRY(kernel::ModuleImage::open(target));
    run = TRY(match::RunObject::of_module(module, arch));
  } else {
    image = TRY(kernel::Image::open(target));
    run = match::RunObject::of_vmlinux(image);
  }
  for (int i = 2; i < argc; ++i) {
    TRY(measure(argv[i], run, arch));
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: match_bench VMLINUX|MODULE OBJECT...\n");
    return 2;
  }
  Status status = bench(argc, argv);
  if (!status) {
    fmt::print(stderr, "{}: {}\n", status.error().where, status.error().reason);
  }
  return status ? 0 : 1;
}
