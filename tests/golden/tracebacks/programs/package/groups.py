class BatchError(ExceptionGroup):
    def derive(self, excs):
        return BatchError(self.message, excs)
