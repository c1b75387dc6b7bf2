// What this machine can do at most with some threads, measured: the bounds that
// kernels are held against. Blocks for about half a second; needs a machine
// that does nothing else.
#pragma once

namespace rapid {

struct MachinePeaks {
  int threads = 1;
  double read = 0;    // bytes a second from memory that no cache holds
  double int8 = 0;    // operations a second; a product and its sum are two
  double floats = 0;  // the same of float32
  double bfloat = 0;  // the same of bfloat16; 0: no such instruction
};

// `read` alone; takes 256 MiB of memory.
double measure_read(int threads);

MachinePeaks measure_peaks(int threads);

}  // namespace rapid
