// As much of ncnn as the generated profiler uses; it computes nothing.  What a network is given is written to the files
// `0.param`, `0.bin`, `1.param` and so on, and it takes a millisecond for a blob that is not there yet.
#pragma once
#include <cstdio>
#include <ctime>
#include <set>
#include <string>
#include <vector>

#include "datareader.h"

namespace ncnn {
struct Option {
    int num_threads = 4;
    bool use_fp16_packed = true, use_fp16_storage = true, use_fp16_arithmetic = false, use_bf16_storage = false;
    bool use_packing_layout = true, use_winograd_convolution = true, use_sgemm_convolution = true;
};

class Mat {
public:
    void create(int w, int h = 1, int c = 1) { numbers_.resize(static_cast<std::size_t>(w * h * c)), point(); }
    void create(int w, int h, int d, int c) { numbers_.resize(static_cast<std::size_t>(w * h * d * c)), point(); }
    bool empty() const { return numbers_.empty(); }
    std::size_t total() const { return numbers_.size(); }
    void* data = nullptr;

private:
    void point() { data = numbers_.data(); }
    std::vector<float> numbers_;
};

class Extractor {
public:
    int input(const char* blob, const Mat&) { return computed_.insert(blob), 0; }
    int extract(const char* blob, Mat&, int = 0)
    {
        if (computed_.insert(blob).second) {
            timespec start, now;
            clock_gettime(CLOCK_MONOTONIC, &start);
            do
                clock_gettime(CLOCK_MONOTONIC, &now);
            while ((now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec - start.tv_nsec < 1000000L);
        }
        return 0;
    }

private:
    std::set<std::string> computed_;
};

class Net {
public:
    Option opt;
    int load_param_mem(const char* text) { return write(".param", text); }
    int load_model(const DataReader& reader)
    {
        std::string bytes;
        char some[7];  // of no size that arrays have
        for (std::size_t count; (count = reader.read(some, sizeof some)) > 0;)
            bytes.append(some, count);
        return write(".bin", bytes);
    }
    Extractor create_extractor() const { return Extractor(); }

private:
    int write(const char* suffix, const std::string& bytes)
    {
        static int count = 0;
        std::FILE* file = std::fopen((std::to_string(count++ / 2) + suffix).c_str(), "wb");
        std::fwrite(bytes.data(), 1, bytes.size(), file);
        return std::fclose(file);
    }
};
}  // namespace ncnn
