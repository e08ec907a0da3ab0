"""From other frameworks' models to ncnn's."""
