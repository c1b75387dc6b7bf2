// Pace: how many prompt tokens a step may take, from what steps have cost.
//
// A stream that decodes beside them stalls for as long as the step takes, so
// such a step is kept short. Without one a step may take longer: progress is
// told and a cancel is seen between two steps. One thread.
#pragma once

#include <array>

namespace rapid {

class Pace {
 public:
  // `most`: never more tokens than that.
  explicit Pace(int most) : most_(most) {}

  // `beside`: choices decode in the same step. At least 1.
  int chunk(bool beside);
  // What a step of so many prompt tokens, and rows that decode, took.
  void measured(int prompt_tokens, int decode_rows, double seconds);

 private:
  // Matrix kernels work in panels of rows, so chunks are whole ones, or parts
  // of one where a whole one takes too long.
  static constexpr std::array kParts = {4, 8, 16};

  int part(double seconds) const;
  void know_part(int tokens, double seconds);

  int most_;
  int asked_ = 0;              // of the step to come
  int last_ = 0;               // prompt tokens of the last step that told
  double token_seconds_ = 0;   // of one prompt token; 0 = not known yet
  double decode_seconds_ = 0;  // of a step that only decodes
  std::array<double, kParts.size()> part_seconds_{};  // 0 = not known yet
};

}  // namespace rapid
