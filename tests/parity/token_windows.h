// Token lists for the programs of tests/parity that print logits.
//
// A file of int32, little endian: [n, w], then n windows of w ids, each window
// a sequence of its own. Standard library only: llama_logits.cpp, which is
// built outside of our tree, reads them too.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

namespace rapid {

struct TokenWindows {
  std::vector<int32_t> ids;
  size_t count = 0;
  size_t width = 0;
};

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

inline bool read_windows(const char* path, TokenWindows& out) {
  const File file(std::fopen(path, "rb"), std::fclose);
  int32_t head[2] = {};
  if (!file || std::fread(head, sizeof(int32_t), 2, file.get()) != 2 ||
      head[0] < 1 || head[1] < 1) {
    return false;
  }
  out.count = static_cast<size_t>(head[0]);
  out.width = static_cast<size_t>(head[1]);
  out.ids.resize(out.count * out.width);
  return std::fread(
             out.ids.data(), sizeof(int32_t), out.ids.size(), file.get()) ==
         out.ids.size();
}

// The optional header of an output: rows and columns of the matrix behind it.
inline bool write_shape(std::FILE* out, size_t rows, size_t columns) {
  const int32_t head[] = {
      static_cast<int32_t>(rows), static_cast<int32_t>(columns)};
  return std::fwrite(head, sizeof(int32_t), 2, out) == 2;
}

}  // namespace rapid
